// The style and the script of the bench's page.

/** Colours follow the reader's choice of light or dark; wide parts scroll by themselves on a narrow screen. */
export const PAGE_STYLE = `
:root{color-scheme:light dark;--bg:#fff;--fg:#1c2024;--dim:#5f6770;--line:#dfe3e8;--c0:#8b949e;--c1:#2f6fde;--c2:#d1471f;--c3:#12805c;--c4:#8a4fd3;--c5:#b7791f;--c6:#c2255c}
@media (prefers-color-scheme:dark){:root{--bg:#14171a;--fg:#e6e9ec;--dim:#9aa4ae;--line:#2c3238;--c0:#77808a;--c1:#6ea0ff;--c2:#ff8a65;--c3:#4fc3a1;--c4:#b892ff;--c5:#e3b341;--c6:#ff7eb0}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:70rem;padding:1rem;background:var(--bg);color:var(--fg);font:16px/1.5 system-ui,sans-serif}
h1{font-size:1.6rem;line-height:1.2;margin:.5rem 0}h2{font-size:1.15rem;margin:2rem 0 .5rem}
p{max-width:46rem}small{display:block;color:var(--dim);font-weight:400}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:.9rem}
th,td{padding:.3rem .6rem;border-bottom:1px solid var(--line);text-align:left;vertical-align:top}
tbody th{font-weight:500;min-width:13rem}
thead th{position:sticky;top:0;background:var(--bg)}
.n,thead th.n{text-align:right}
.n{font-variant-numeric:tabular-nums;white-space:nowrap}
button{all:unset;cursor:pointer;color:var(--dim);font-weight:600}
button:focus-visible{outline:2px solid var(--c1)}
th[aria-sort=ascending] button::after{content:" ▲"}th[aria-sort=descending] button::after{content:" ▼"}
.bad{color:var(--c2)}
svg{display:block;width:100%;min-width:36rem;max-width:52rem;height:auto;font:12px system-ui,sans-serif}
svg text{fill:var(--fg)}svg .label{fill:var(--dim)}.grid{stroke:var(--line)}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,30rem),1fr));gap:1rem;overflow-x:auto}.charts svg{min-width:20rem}
.legend span{white-space:nowrap;margin-right:1em}.legend .key{display:inline-block;width:.8em;height:.8em;border-radius:2px;margin:0 .35em 0 0;background:currentColor}
${[0, 1, 2, 3, 4, 5, 6].map((i) => `rect.c${i},circle.c${i}{fill:var(--c${i})}.key.c${i}{color:var(--c${i})}`).join('')}
polyline{stroke-width:2}.s0,.s1{stroke:var(--c1)}circle.c0{fill:var(--c1)}rect.c0{fill:var(--c0)}
`;

/** A click on a heading sorts its table by that column, a second one the other way round. */
export const PAGE_SCRIPT = `
for (const button of document.querySelectorAll('thead button')) {
  button.addEventListener('click', () => {
    const heading = button.parentElement, table = heading.closest('table'), body = table.tBodies[0];
    const column = [...heading.parentElement.children].indexOf(heading);
    const down = heading.getAttribute('aria-sort') === 'ascending';
    const key = (row) => {
      const cell = row.children[column];
      const text = cell ? cell.dataset.value ?? cell.textContent : '';
      const number = Number(text);
      return text !== '' && !Number.isNaN(number) ? number : text;
    };
    const order = (a, b) => {
      const [x, y] = [key(a), key(b)];
      if (typeof x === typeof y) return x < y ? -1 : x > y ? 1 : 0;
      return typeof x === 'number' ? -1 : 1;
    };
    const rows = [...body.rows].sort((a, b) => (down ? order(b, a) : order(a, b)));
    for (const other of heading.parentElement.children) other.removeAttribute('aria-sort');
    heading.setAttribute('aria-sort', down ? 'descending' : 'ascending');
    body.append(...rows);
  });
}
`;
