// Runs two pieces of code on the bare CPU from the same random states and names the first difference of their ends.
//
// Reads questions from stdin (see bare-cpu.ts), writes one line for each: `same N`, `different …` or `unproved …`. Each
// run is entered and left through a signal, whose ucontext holds the whole state. Pages come into being when they are
// touched. System calls of the judged code trap (syscall user dispatch), and a timer ends what does not end by itself.
#define _GNU_SOURCE
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/time.h>
#include <ucontext.h>
#include <unistd.h>

#if !defined(__x86_64__) || !defined(__linux__)
#error "the bare CPU is asked on Linux x86-64 only"
#endif
#ifndef PR_SET_SYSCALL_USER_DISPATCH
#define PR_SET_SYSCALL_USER_DISPATCH 59
#endif

enum { PAGE = 0x1000, MAX_PAGES = 256, MAX_SEGMENTS = 16, FLAGS = 0xcd5, SIDES = 2, SCRATCH = 0x1000 };
static const uint64_t RETURN = 0x77770000, STACK = 0x540030008000, LOW = 0x10000, HIGH = 0x550000000000;
static const uint64_t DATA[3] = {0x20000000, 0x540020000000, 0x30000000};

static const int REGISTER[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                                 REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};
static const char *const NAME[16] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
                                     "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15"};

struct segment { uint64_t address; uint32_t length; uint8_t *bytes; };
struct side { uint64_t entry, end; uint32_t count; struct segment segments[MAX_SEGMENTS]; };
struct page { uint64_t address; uint8_t first[PAGE]; };
struct state { uint64_t gprs[16]; uint32_t flags; uint8_t xmm[256]; };
struct outcome {
  int vector; // 3: came to an int3 that is not the code's own · 14 with a fetch: left the mapped pages
  int fetch, endless;
  uint64_t rip, gprs[16];
  uint32_t flags;
  uint8_t xmm[256], st[128];
  uint16_t tags;
};

static struct side sides[SIDES];
static struct page pages[MAX_PAGES];
static int page_count;
static uint8_t memory[MAX_PAGES][PAGE]; // what the first side left
static uint64_t seed, random_state;
static struct state now;
static struct outcome outcomes[SIDES], *result;
static struct side *running;
static ucontext_t home;
static volatile int busy, ticks;
static uint16_t ignored;
static uint32_t ignored_flags;
static uint64_t patched, patched_length;
static unsigned round; // memory is drawn anew from time to time

static void die(const char *why) {
  fprintf(stderr, "bare CPU: %s\n", why);
  _exit(2);
}

static void take(void *to, size_t size) {
  if (fread(to, 1, size, stdin) != size) die("input ends early");
}

static uint64_t next(void) { // splitmix64
  uint64_t z = (random_state += 0x9e3779b97f4a7c15u);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

/** Fills a page's first content: random bytes that depend on its address, then the code of the side that runs. */
static void fill(const struct page *page, uint8_t *to, const struct side *side) {
  memcpy(to, page->first, PAGE);
  for (int i = (int)side->count - 1; i >= 0; i--) {
    const struct segment *s = &side->segments[i];
    uint64_t from = s->address > page->address ? s->address : page->address;
    uint64_t until = s->address + s->length < page->address + PAGE ? s->address + s->length : page->address + PAGE;
    if (from < until) memcpy(to + (from - page->address), s->bytes + (from - s->address), until - from);
  }
}

/** Random words, and values that comparisons are made with. */
static void renew(struct page *page) {
  static const uint64_t EDGE[] = {0, 1, 2, 5, 7, 0x42, 0x80, 0x1234, 0x12345678, 0x80000000, 1ul << 32, ~0ul};
  uint64_t saved = random_state;
  random_state = seed ^ page->address ^ ((uint64_t)round << 48);
  for (int i = 0; i < PAGE; i += 8) {
    uint64_t word = next();
    if (word % 4 == 0) word = EDGE[word / 4 % (sizeof EDGE / sizeof *EDGE)];
    if (page->address != RETURN) memcpy(page->first + i, &word, 8);
  }
  random_state = saved;
}

static int touch(uint64_t address) {
  uint64_t at = address & ~(uint64_t)(PAGE - 1);
  if (at < LOW || at >= HIGH || page_count == MAX_PAGES) return 0;
  for (int i = 0; i < page_count; i++) if (pages[i].address == at) return 0;
  void *got = mmap((void *)at, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
  if (got != (void *)at) return 0;
  struct page *page = &pages[page_count++];
  page->address = at;
  renew(page);
  fill(page, (uint8_t *)at, running);
  return 1;
}

static void draw_state(unsigned index) {
  static const uint64_t EDGE[] = {0, 1, 2, 0xff, 0x7fffffff, 0x80000000, 0xffffffff, 1ul << 32, ~0ul >> 1, 1ul << 63, ~0ul};
  for (int i = 0; i < 16; i++) {
    uint64_t pick = next() % 8;
    if (pick < 3) now.gprs[i] = DATA[pick] + next() % 0x2000;
    else if (pick == 3 || index % 16 == 15) now.gprs[i] = EDGE[next() % (sizeof EDGE / sizeof *EDGE)];
    else if (pick == 4) now.gprs[i] = next() % 12;
    else if (pick == 5) now.gprs[i] = -(next() % 100);
    else now.gprs[i] = next();
  }
  now.gprs[4] = STACK - next() % 128 * 8;
  now.flags = (uint32_t)((next() & 0x8d5) | (index % 8 == 7 ? 0x400 : 0) | 0x202);
  for (int i = 0; i < 256; i += 8) { uint64_t word = next(); memcpy(now.xmm + i, &word, 8); }
}

static void enter(ucontext_t *uc) {
  greg_t *regs = uc->uc_mcontext.gregs;
  for (int i = 0; i < 16; i++) regs[REGISTER[i]] = (greg_t)now.gprs[i];
  regs[REG_RIP] = (greg_t)running->entry;
  regs[REG_EFL] = (greg_t)now.flags;
  struct _libc_fpstate *fp = uc->uc_mcontext.fpregs;
  memset(fp, 0, 416);
  fp->cwd = 0x37f;
  fp->mxcsr = 0x1f80;
  memcpy(fp->_xmm, now.xmm, sizeof now.xmm);
  uint32_t magic;
  memcpy(&magic, (uint8_t *)fp + 464, 4);
  if (magic == 0x46505853) *(uint64_t *)((uint8_t *)fp + 512) |= 3;
}

static void leave(ucontext_t *uc, int endless) {
  const greg_t *regs = uc->uc_mcontext.gregs;
  const struct _libc_fpstate *fp = uc->uc_mcontext.fpregs;
  result->vector = endless ? -1 : (int)regs[REG_TRAPNO];
  result->endless = endless;
  result->rip = (uint64_t)regs[REG_RIP] - (result->vector == 3);
  result->fetch = result->vector == 14 && (uint64_t)regs[REG_CR2] == result->rip;
  for (int i = 0; i < 16; i++) result->gprs[i] = (uint64_t)regs[REGISTER[i]];
  result->flags = (uint32_t)regs[REG_EFL] & FLAGS;
  memcpy(result->xmm, fp->_xmm, sizeof result->xmm);
  memcpy(result->st, fp->_st, sizeof result->st);
  result->tags = fp->ftw;
  busy = 0;
  memcpy(uc->uc_mcontext.gregs, home.uc_mcontext.gregs, sizeof home.uc_mcontext.gregs);
}

static void on_signal(int number, siginfo_t *info, void *context) {
  ucontext_t *uc = context;
  (void)info;
  // the judged code may have set AC, under which this program's own accesses would trap
  __asm__ volatile("pushfq; andq $~0x44000, (%%rsp); popfq" ::: "cc", "memory");
  if (number == SIGVTALRM) {
    if (busy && ++ticks > 2) leave(uc, 1);
    return;
  }
  if (number == SIGUSR1) {
    home = *uc;
    busy = 1;
    ticks = 0;
    enter(uc);
    return;
  }
  if (!busy) die("a fault of its own");
  const greg_t *regs = uc->uc_mcontext.gregs;
  uint64_t address = (uint64_t)regs[REG_CR2];
  int absent = number == SIGSEGV && regs[REG_TRAPNO] == 14 && (regs[REG_ERR] & 0x10) == 0;
  if (absent && touch(address)) return;
  leave(uc, 0);
}

static void run(int index) {
  running = &sides[index];
  result = &outcomes[index];
  for (int i = 0; i < page_count; i++) fill(&pages[i], (uint8_t *)pages[i].address, running);
  touch(now.gprs[4]);
  *(uint64_t *)now.gprs[4] = RETURN;
  raise(SIGUSR1);
}

static int within_side(const struct side *side, uint64_t address) {
  for (uint32_t i = 0; i < side->count; i++)
    if (address > side->segments[i].address && address <= side->segments[i].address + side->segments[i].length) return 1;
  return 0;
}

static char why[256];
static int differs(const char *format, ...) {
  va_list list;
  va_start(list, format);
  vsnprintf(why, sizeof why, format, list);
  va_end(list);
  return 1;
}

static int memory_differs(uint64_t rsp) {
  uint64_t slot = 0;
  // both have called the same outside function: each one's return address lies in its own code
  if (outcomes[0].rip != RETURN && outcomes[0].fetch) slot = rsp;
  for (int i = 0; i < page_count; i++) {
    const uint8_t *a = memory[i], *b = (const uint8_t *)pages[i].address;
    if (memcmp(a, b, PAGE) == 0) continue;
    for (int j = 0; j < PAGE; j++) {
      uint64_t at = pages[i].address + (uint64_t)j;
      if (a[j] == b[j] || (at < rsp && at >= rsp - SCRATCH)) continue;
      if (slot != 0 && at >= slot && at < slot + 8) continue;
      // the code itself differs between the sides by what was asked
      int code = 0;
      for (int k = 0; k < SIDES; k++) code |= within_side(&sides[k], at + 1);
      if (code) continue;
      return differs("[0x%lx] is 0x%x instead of 0x%x", at, b[j], a[j]);
    }
  }
  return 0;
}

static int compare(void) {
  const struct outcome *a = &outcomes[0], *b = &outcomes[1];
  int ends = a->rip == sides[0].end && b->rip == sides[1].end;
  if (a->rip != b->rip && !ends) {
    uint64_t into = b->rip - patched;
    if (into < patched_length) return differs("comes to the overwritten bytes at +%lu", into);
    return differs("ends at 0x%lx instead of 0x%lx", b->rip, a->rip);
  }
  if (a->vector != b->vector) return differs("ends with vector %d instead of %d", b->vector, a->vector);
  for (int i = 0; i < 16; i++)
    if (a->gprs[i] != b->gprs[i] && (ignored >> i & 1) == 0)
      return differs("%s is 0x%lx instead of 0x%lx", NAME[i], b->gprs[i], a->gprs[i]);
  if (((a->flags ^ b->flags) & ~ignored_flags) != 0) return differs("flags are 0x%x instead of 0x%x", b->flags, a->flags);
  for (int i = 0; i < 16; i++)
    if (memcmp(a->xmm + 16 * i, b->xmm + 16 * i, 16) != 0) return differs("xmm%d differs", i);
  if (memcmp(a->st, b->st, sizeof a->st) != 0 || a->tags != b->tags) return differs("the x87 state differs");
  return memory_differs(a->gprs[4]);
}

static void answer(uint32_t states) {
  unsigned compared = 0, endless = 0;
  // each run without an end costs 30 ms
  for (uint32_t i = 0; i < states && endless < 4; i++) {
    draw_state(i);
    if (i / 32 != round) {
      round = i / 32;
      for (int j = 0; j < page_count; j++) renew(&pages[j]);
    }
    run(0);
    endless += (unsigned)outcomes[0].endless;
    if (outcomes[0].endless || (outcomes[0].vector != 3 && !outcomes[0].fetch)) continue;
    int known = page_count;
    for (int j = 0; j < page_count; j++) memcpy(memory[j], (void *)pages[j].address, PAGE);
    run(1);
    for (int j = known; j < page_count; j++) fill(&pages[j], memory[j], &sides[0]);
    compared++;
    if (!compare()) continue;
    printf("different state %u: %s\n", i, why);
    return;
  }
  if (compared == 0) printf("unproved: no state could be compared, the last one ended with vector %d\n", outcomes[0].vector);
  else printf("same %u\n", compared);
}

static void read_side(struct side *side) {
  take(&side->entry, 8);
  take(&side->end, 8);
  take(&side->count, 4);
  if (side->count > MAX_SEGMENTS) die("too many segments");
  for (uint32_t i = 0; i < side->count; i++) {
    struct segment *s = &side->segments[i];
    take(&s->address, 8);
    take(&s->length, 4);
    if (s->length > 1 << 20 || (s->bytes = malloc(s->length + 1)) == NULL) die("segment too long");
    take(s->bytes, s->length);
  }
}

int main(void) {
  extern char __executable_start, etext;
  static char stack[1 << 16];
  static volatile char selector = 1; // block: what does not lie in this program may not call the kernel
  stack_t alternate = {.ss_sp = stack, .ss_size = sizeof stack};
  sigaltstack(&alternate, NULL);
  struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK};
  sigfillset(&action.sa_mask);
  int numbers[] = {SIGUSR1, SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGSYS, SIGVTALRM};
  for (unsigned i = 0; i < sizeof numbers / sizeof *numbers; i++) sigaction(numbers[i], &action, NULL);
  if (prctl(PR_SET_SYSCALL_USER_DISPATCH, 1, &__executable_start, &etext - &__executable_start, &selector) != 0)
    die("this kernel has no syscall user dispatch");
  struct itimerval every = {{0, 10000}, {0, 10000}};
  setitimer(ITIMER_VIRTUAL, &every, NULL);
  uint32_t questions;
  take(&questions, 4);
  while (questions-- > 0) {
    uint32_t states;
    take(&states, 4);
    take(&seed, 8);
    random_state = seed;
    take(&ignored, 2);
    take(&ignored_flags, 4);
    take(&patched, 8);
    take(&patched_length, 8);
    for (int i = 0; i < SIDES; i++) read_side(&sides[i]);
    running = &sides[0];
    round = 0;
    for (int i = 0; i < SIDES; i++)
      for (uint32_t j = 0; j < sides[i].count; j++)
        for (uint64_t at = sides[i].segments[j].address & ~(uint64_t)(PAGE - 1); at < sides[i].segments[j].address + sides[i].segments[j].length; at += PAGE)
          if (!touch(at) && page_count == MAX_PAGES) die("too many pages");
    touch(RETURN);
    for (int i = 0; i < page_count; i++) if (pages[i].address == RETURN) memset(pages[i].first, 0xcc, PAGE);
    for (uint64_t at = STACK - 0x3000; at < STACK + 0x1000; at += PAGE) touch(at);
    answer(states);
    fflush(stdout);
    for (int i = 0; i < page_count; i++) munmap((void *)pages[i].address, PAGE);
    page_count = 0;
    for (int i = 0; i < SIDES; i++)
      for (uint32_t j = 0; j < sides[i].count; j++) free(sides[i].segments[j].bytes);
  }
  return 0;
}
