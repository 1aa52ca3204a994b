// A worker that dies, hangs or throws where a case asks for it, and answers otherwise.
export default function judge({ raw: { id } }) {
  if (id === 'exits') process.exit(7);
  if (id === 'aborts') process.abort();
  if (id === 'throws') throw new Error('the engine fell over\nand more');
  if (id === 'hangs') for (;;);
  return { id, kind: '', verdict: 'equivalent', expected: null, agrees: true, reason: '', findings: [] };
}
