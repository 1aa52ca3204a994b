// Runs metal cases on the bare CPU: reads them from stdin, writes what each one changed to stdout.
//
// Every case is entered and left through one signal: the handler stores the state that the last case left in its
// ucontext, puts the next case's state there, and returns into it. The code page is full of int3, so that wherever
// a case goes, it traps. Formats: see native.ts (input) and vectors.ts (output). With --features: prints the CPU.
#define _GNU_SOURCE
#include <asm/prctl.h>
#include <cpuid.h>
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#if !defined(__x86_64__) || !defined(__linux__)
#error "the metal runner needs Linux on x86-64"
#endif

enum { PAGE = 0x1000, FLAGS = 0xcd5, FLAGS_BASE = 0x202, FILL = 0xcc };
static const uint64_t CODE_PAGE = 0x100000, CODE = 0x100800, MEMORY = 0x200000, GS_BASE = 0x10000;

// ucontext's registers in the order of their encoding
static const int REGISTER[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                                 REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};

// What a result says; bits of its first byte.
enum { FAULT = 1, RIP = 2, GPRS = 4, RFLAGS = 8, XMM = 16, RAM = 32 };

static uint8_t *input, *input_end, *output, *output_at;
static uint8_t *code; // writable alias of the code page
static uint8_t background[PAGE], expected[PAGE];
static uint32_t remaining;
static ucontext_t home;

// The case that is running.
static uint64_t start_gprs[16];
static uint32_t start_flags;
static uint8_t start_xmm[256];
static uint32_t code_length;

static void die(const char *why) {
  fprintf(stderr, "metal runner: %s\n", why);
  _exit(2);
}

static void take(void *to, size_t size) {
  if ((size_t)(input_end - input) < size) die("input ends early");
  memcpy(to, input, size);
  input += size;
}

static void put(const void *from, size_t size) {
  memcpy(output_at, from, size);
  output_at += size;
}

static void load_state(ucontext_t *uc) {
  uint16_t length, offset;
  uint8_t patches, size;
  memset(code + (CODE - CODE_PAGE), FILL, code_length);
  take(&length, 2);
  if (length > PAGE / 2 - 16) die("code too long");
  take(code + (CODE - CODE_PAGE), length);
  code_length = length;
  take(start_gprs, sizeof start_gprs);
  take(&start_flags, 4);
  take(start_xmm, sizeof start_xmm);
  memcpy(expected, background, PAGE);
  take(&patches, 1);
  while (patches-- > 0) {
    take(&offset, 2);
    take(&size, 1);
    if (offset + size > PAGE) die("patch outside the page");
    take(expected + offset, size);
  }
  memcpy((void *)MEMORY, expected, PAGE);

  greg_t *regs = uc->uc_mcontext.gregs;
  for (int i = 0; i < 16; i++) regs[REGISTER[i]] = (greg_t)start_gprs[i];
  regs[REG_RIP] = (greg_t)CODE;
  regs[REG_EFL] = (greg_t)(start_flags | FLAGS_BASE);
  struct _libc_fpstate *fp = uc->uc_mcontext.fpregs;
  memcpy(fp->_xmm, start_xmm, sizeof start_xmm);
  fp->mxcsr = 0x1f80;
  // an xsave frame follows the legacy area: say that its SSE part is in use, or xmm would be cleared
  uint32_t magic;
  memcpy(&magic, (uint8_t *)fp + 464, 4);
  if (magic == 0x46505853) *(uint64_t *)((uint8_t *)fp + 512) |= 3;
}

static void put_memory(void) {
  const uint8_t *now = (const uint8_t *)MEMORY;
  uint8_t *count_at = output_at++;
  *count_at = 0;
  for (int i = 0; i < PAGE;) {
    if (now[i] == expected[i]) { i++; continue; }
    int end = i + 1;
    for (int gap = 0, j = end; j < PAGE && gap < 4 && j - i < 255; j++) {
      if (now[j] != expected[j]) { end = j + 1; gap = 0; } else gap++;
    }
    uint16_t offset = (uint16_t)i;
    uint8_t size = (uint8_t)(end - i);
    if (*count_at == 255) die("more than 255 changed runs");
    put(&offset, 2);
    put(&size, 1);
    put(now + i, size);
    ++*count_at;
    i = end;
  }
}

static void store_result(const ucontext_t *uc) {
  const greg_t *regs = uc->uc_mcontext.gregs;
  uint64_t rip = (uint64_t)regs[REG_RIP];
  int vector = (int)regs[REG_TRAPNO];
  // int3 filler: the case ended one byte before; an int3 of its own is a fault like any other
  int ended = vector == 3 && rip - 1 - CODE >= code_length;
  uint8_t *kind = output_at++;
  *kind = 0;
  if (ended) rip--;
  else {
    *kind |= FAULT;
    *output_at++ = (uint8_t)vector;
    if (vector == 14) {
      uint64_t address = (uint64_t)regs[REG_CR2];
      uint8_t error = (uint8_t)regs[REG_ERR];
      put(&address, 8);
      put(&error, 1);
    }
  }
  if (rip != (ended ? CODE + code_length : CODE)) {
    *kind |= RIP;
    put(&rip, 8);
  }
  uint16_t mask = 0;
  for (int i = 0; i < 16; i++) mask |= (uint16_t)(((uint64_t)regs[REGISTER[i]] != start_gprs[i]) << i);
  if (mask != 0) {
    *kind |= GPRS;
    put(&mask, 2);
    for (int i = 0; i < 16; i++) if (mask >> i & 1) put(&regs[REGISTER[i]], 8);
  }
  uint16_t flags = (uint16_t)(regs[REG_EFL] & FLAGS);
  if (flags != start_flags) {
    *kind |= RFLAGS;
    put(&flags, 2);
  }
  const uint8_t *xmm = (const uint8_t *)uc->uc_mcontext.fpregs->_xmm;
  mask = 0;
  for (int i = 0; i < 16; i++) mask |= (uint16_t)((memcmp(xmm + 16 * i, start_xmm + 16 * i, 16) != 0) << i);
  if (mask != 0) {
    *kind |= XMM;
    put(&mask, 2);
    for (int i = 0; i < 16; i++) if (mask >> i & 1) put(xmm + 16 * i, 16);
  }
  if (memcmp((void *)MEMORY, expected, PAGE) != 0) {
    *kind |= RAM;
    put_memory();
  }
}

static void on_signal(int signal, siginfo_t *info, void *context) {
  ucontext_t *uc = context;
  static int started;
  (void)signal;
  (void)info;
  if (!started) {
    // the int3 in main: remember the way home; the frame's extended state stays in place
    started = 1;
    home = *uc;
  } else {
    store_result(uc);
    remaining--;
  }
  if (remaining > 0) load_state(uc);
  else memcpy(uc->uc_mcontext.gregs, home.uc_mcontext.gregs, sizeof home.uc_mcontext.gregs);
}

static void print_features(void) {
  static const struct { const char *name; uint32_t leaf, word, bit; } TABLE[] = {
      {"MSR", 1, 3, 5}, {"SSE", 1, 3, 25},      {"SSE2", 1, 3, 26},    {"CMOV", 1, 3, 15},      {"CX8", 1, 3, 8},
      {"CLFSH", 1, 3, 19},    {"SSE3", 1, 2, 0},     {"PCLMULQDQ", 1, 2, 1},  {"SSSE3", 1, 2, 9},
      {"CMPXCHG16B", 1, 2, 13}, {"SSE4_1", 1, 2, 19}, {"SSE4_2", 1, 2, 20},   {"MOVBE", 1, 2, 22},
      {"POPCNT", 1, 2, 23},   {"AES", 1, 2, 25},     {"FSGSBASE", 7, 1, 0},   {"BMI1", 7, 1, 3},
      {"BMI2", 7, 1, 8},      {"ADX", 7, 1, 19},     {"CLFLUSHOPT", 7, 1, 23}, {"CLWB", 7, 1, 24},
      {"SHA", 7, 1, 29},      {"LZCNT", 0x80000001, 2, 5}, {"PREFETCHW", 0x80000001, 2, 8},
  };
  uint32_t r[4], brand[12];
  for (unsigned i = 0; i < sizeof TABLE / sizeof *TABLE; i++) {
    if (!__get_cpuid_count(TABLE[i].leaf, 0, &r[0], &r[1], &r[2], &r[3])) continue;
    if (r[TABLE[i].word] >> TABLE[i].bit & 1) printf("%s ", TABLE[i].name);
  }
  for (uint32_t i = 0; i < 3; i++) __get_cpuid(0x80000002 + i, &brand[4 * i], &brand[4 * i + 1], &brand[4 * i + 2], &brand[4 * i + 3]);
  __get_cpuid(1, &r[0], &r[1], &r[2], &r[3]);
  printf("\n%.48s, signature %08x\n", (char *)brand, r[0]);
}

int main(int argc, char **argv) {
  if (argc > 1 && strcmp(argv[1], "--features") == 0) { print_features(); return 0; }

  int fd = memfd_create("code", 0);
  if (fd < 0 || ftruncate(fd, PAGE) != 0) die("no memfd");
  code = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  void *fixed = mmap((void *)CODE_PAGE, PAGE, PROT_READ | PROT_EXEC, MAP_SHARED | MAP_FIXED_NOREPLACE, fd, 0);
  void *memory = mmap((void *)MEMORY, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
  if (code == MAP_FAILED || fixed != (void *)CODE_PAGE || memory != (void *)MEMORY) die("the fixed pages are taken");
  memset(code, FILL, PAGE);

  // all of stdin: background page, u32 count, cases
  size_t capacity = 1 << 20, length = 0;
  uint8_t *data = malloc(capacity);
  for (ssize_t got; (got = read(0, data + length, capacity - length)) != 0; length += (size_t)got) {
    if (got < 0) die(strerror(errno));
    if (length + (size_t)got == capacity) data = realloc(data, capacity *= 2);
    if (data == NULL) die("out of memory");
  }
  input = data;
  input_end = data + length;
  take(background, PAGE);
  take(&remaining, 4);
  // the largest result: every register and 255 runs of a page
  output = output_at = malloc((size_t)remaining * 1024 + 64 * PAGE);
  if (output == NULL) die("out of memory");

  stack_t alternate = {.ss_sp = malloc(1 << 18), .ss_size = 1 << 18};
  sigaltstack(&alternate, NULL);
  struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK};
  const int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP};
  for (int i = 0; i < 5; i++) sigaction(signals[i], &action, NULL);
  if (syscall(SYS_arch_prctl, ARCH_SET_GS, GS_BASE) != 0) die("no gs base");
  alarm(120); // a case that never traps

  // the way back restores the general registers only
  if (remaining > 0) {
    __asm__ volatile("int3" ::: "memory", "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8",
                     "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
  }

  for (uint8_t *at = output; at < output_at;) {
    ssize_t written = write(1, at, (size_t)(output_at - at));
    if (written <= 0) die("cannot write");
    at += written;
  }
  return 0;
}
