// Runs a captured program on the bare CPU: the timed loop of src/measure/driver.ts, on the bytes that the engines run.
//
// call PROGRAM, then a number of calls per line on stdin; answers with nanoseconds, TSC cycles and the sum in r12, hex.
// PROGRAM: struct header, then each trap as two quads (address, target), then each page: its address and 4096 bytes.
#define _GNU_SOURCE
#include <asm/prctl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>
#include <x86intrin.h>

struct header {
	uint64_t entry, done, stack_top, table, mask, gs_base, traps, pages;
};

enum { PAGE = 4096, MOST_TRAPS = 64 };

static uint64_t trap_at[MOST_TRAPS], trap_to[MOST_TRAPS], trap_count;

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

// What the engines' host does at an int3: emulate a jump.
static void on_trap(int signal, siginfo_t *info, void *context)
{
	greg_t *rip = &((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];

	(void)info;
	for (uint64_t i = 0; i < trap_count; i++) {
		if (trap_at[i] == (uint64_t)*rip - 1) {
			*rip = (greg_t)trap_to[i];
			return;
		}
	}
	_exit(128 + signal);
}

static void read_or_fail(FILE *file, void *to, size_t size)
{
	if (fread(to, 1, size, file) != size)
		fail("program is too short");
}

// The loop ends at `done` with a jump to what stands there: back into this function, on the stack it came from.
static uint64_t run(const struct header *h, uint64_t calls)
{
	register uint64_t r14 __asm__("r14") = h->table;
	register uint64_t r15 __asm__("r15") = h->mask;
	register uint64_t r12 __asm__("r12") = 0;
	uint64_t rbx = calls;
	static uint64_t saved_rsp, saved_rbp;

	__asm__ volatile("movq %%rsp, %[rsp]\n\t"
			 "movq %%rbp, %[rbp]\n\t"
			 "movq %[top], %%rsp\n\t"
			 "call *%[entry]\n\t"
			 "movq %[rsp], %%rsp\n\t"
			 "movq %[rbp], %%rbp\n\t"
			 : "+r"(r12), "+r"(r14), "+r"(r15), "+b"(rbx), [rsp] "=m"(saved_rsp), [rbp] "=m"(saved_rbp)
			 : [top] "a"(h->stack_top), [entry] "d"(h->entry)
			 : "rcx", "rsi", "rdi", "r8", "r9", "r10", "r11", "r13", "memory", "cc", "xmm0", "xmm1", "xmm2",
			   "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13",
			   "xmm14", "xmm15");
	return r12;
}

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

int main(int argc, char **argv)
{
	static uint8_t trap_stack[1 << 16];
	struct header header;
	struct sigaction action = { .sa_sigaction = on_trap, .sa_flags = SA_SIGINFO | SA_ONSTACK };
	stack_t alternate = { .ss_sp = trap_stack, .ss_size = sizeof trap_stack };
	uint64_t calls;
	FILE *file = argc == 2 ? fopen(argv[1], "rb") : NULL;

	if (!file)
		fail("usage: call PROGRAM");
	read_or_fail(file, &header, sizeof header);
	if (header.traps > MOST_TRAPS)
		fail("too many traps");
	trap_count = header.traps;
	for (uint64_t i = 0; i < trap_count; i++) {
		read_or_fail(file, &trap_at[i], 8);
		read_or_fail(file, &trap_to[i], 8);
	}
	for (uint64_t i = 0; i < header.pages; i++) {
		uint64_t address;
		uint8_t *page;

		read_or_fail(file, &address, 8);
		page = mmap((void *)address, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
		if (page != (uint8_t *)address)
			fail("a page cannot be mapped where it belongs");
		read_or_fail(file, page, PAGE);
	}
	memcpy((void *)header.done, "\xc3", 1); // ret, to the call in run()
	if (sigaltstack(&alternate, NULL) || sigaction(SIGTRAP, &action, NULL))
		fail("sigaction");
	if (syscall(SYS_arch_prctl, ARCH_SET_GS, header.gs_base))
		fail("arch_prctl");
	while (scanf("%" SCNu64, &calls) == 1) {
		uint64_t start = now(), cycles = __rdtsc(), sum = run(&header, calls);

		cycles = __rdtsc() - cycles;
		printf("%" PRIu64 " %" PRIu64 " %" PRIx64 "\n", now() - start, cycles, sum);
		fflush(stdout);
	}
	return 0;
}
