// Runs the benchmark's guest program on the bare CPU (and so, started by qemu-x86_64, under TCG) or on libunicorn 2.
//
// harness native|unicorn IMAGE, then one line per run on stdin: ENTRY R12 R13 R14, hex. Answers with nanoseconds and the
// sum in rbx. The gate is a C function that does what the core does: site look-up, guard, task, counter (assembly/dispatch.ts).
#include <dlfcn.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

// The image's header, in quads; then for each segment address, size and bytes, then for each site ip and new function.
struct header {
	uint64_t gate, until, stack_top, segments, sites;
};

// As in assembly/layout.ts.
struct site {
	uint64_t ip, new_func;
	uint32_t top, steady;
	uint64_t unused;
};

enum { SLOT_BITS = 17, SITE_SIZE = 5, PT_REGS_IP = 0x80 };

static struct site table[1 << SLOT_BITS];
static struct { int32_t patch_state; uint32_t admits; } task = { -1, 1 };
static struct { uint64_t steady, other; } counters;

static struct site *find(uint64_t ip)
{
	uint64_t slot = (ip * 0x9e3779b97f4a7c15) >> (64 - SLOT_BITS);
	while (table[slot].ip != ip && table[slot].top)
		slot = (slot + 1) & ((1 << SLOT_BITS) - 1);
	return &table[slot];
}

static uint64_t dispatch(uint64_t ip)
{
	struct site *site = find(ip);
	if (site->steady & task.admits) {
		counters.steady++;
		return site->new_func;
	}
	counters.other++;
	return ip + SITE_SIZE;
}

// Called by the trampoline: rdi, rsi, rdx, rcx as ftrace passes them.
static void gate(uint64_t ip, uint64_t parent, void *ops, char *regs)
{
	*(uint64_t *)(regs + PT_REGS_IP) = dispatch(ip);
}

static void fail(const char *what)
{
	fprintf(stderr, "harness: %s\n", what);
	exit(1);
}

static uint64_t now(void)
{
	struct timespec time;
	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000000000ull + time.tv_nsec;
}

// libunicorn, by name: its headers are not needed. Numbers of unicorn.h and x86.h.
enum { ARCH_X86 = 4, MODE_64 = 8, PROT_ALL = 7, HOOK_CODE = 4 };
enum { RAX = 35, RBX = 37, RCX = 38, RDI = 39, RSP = 44, R12 = 110, R13 = 111, R14 = 112 };
static void *uc;
static int (*uc_open)(int, int, void **);
static int (*uc_mem_map)(void *, uint64_t, size_t, uint32_t);
static int (*uc_mem_write)(void *, uint64_t, const void *, size_t);
static int (*uc_reg_read)(void *, int, void *);
static int (*uc_reg_write)(void *, int, const void *);
static int (*uc_emu_start)(void *, uint64_t, uint64_t, uint64_t, size_t);
static int (*uc_hook_add)(void *, size_t *, int, void *, void *, uint64_t, uint64_t, ...);

static void gate_hook(void *cpu, uint64_t address, uint32_t size, void *data)
{
	uint64_t ip, to;
	uc_reg_read(cpu, RDI, &ip);
	to = dispatch(ip);
	uc_reg_write(cpu, RAX, &to);
}

static void open_unicorn(uint64_t gate_address)
{
	void *library = dlopen("libunicorn.so.2", RTLD_NOW);
	size_t hook;
	if (!library)
		fail("libunicorn.so.2 is not installed");
	uc_open = dlsym(library, "uc_open");
	uc_mem_map = dlsym(library, "uc_mem_map");
	uc_mem_write = dlsym(library, "uc_mem_write");
	uc_reg_read = dlsym(library, "uc_reg_read");
	uc_reg_write = dlsym(library, "uc_reg_write");
	uc_emu_start = dlsym(library, "uc_emu_start");
	uc_hook_add = dlsym(library, "uc_hook_add");
	if (uc_open(ARCH_X86, MODE_64, &uc))
		fail("uc_open");
	if (uc_hook_add(uc, &hook, HOOK_CODE, gate_hook, NULL, gate_address, gate_address))
		fail("uc_hook_add");
}

static void place(uint64_t address, uint64_t size, const void *bytes)
{
	if (uc) {
		if (uc_mem_map(uc, address, size, PROT_ALL) || uc_mem_write(uc, address, bytes, size))
			fail("uc_mem_map");
		return;
	}
	if (mmap((void *)address, size, PROT_READ | PROT_WRITE | PROT_EXEC,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) != (void *)address)
		fail("mmap");
	memcpy((void *)address, bytes, size);
}

static uint64_t enter(uint64_t entry, uint64_t a, uint64_t b, uint64_t c)
{
	register uint64_t rbx asm("rbx") = 0;
	register uint64_t r12 asm("r12") = a;
	register uint64_t r13 asm("r13") = b;
	register uint64_t r14 asm("r14") = c;
	asm volatile("call *%[entry]"
		     : "+r"(rbx), "+r"(r12), "+r"(r13), "+r"(r14)
		     : [entry] "a"(entry)
		     : "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "r15", "memory", "cc");
	return rbx;
}

static uint64_t enter_unicorn(const struct header *header, uint64_t entry, uint64_t a, uint64_t b, uint64_t c)
{
	uint64_t sum = 0, sp = header->stack_top - 8;
	uc_mem_write(uc, sp, &header->until, 8);
	uc_reg_write(uc, RSP, &sp);
	uc_reg_write(uc, RBX, &sum);
	uc_reg_write(uc, R12, &a);
	uc_reg_write(uc, R13, &b);
	uc_reg_write(uc, R14, &c);
	if (uc_emu_start(uc, entry, header->until, 0, 0))
		fail("uc_emu_start");
	uc_reg_read(uc, RBX, &sum);
	return sum;
}

int main(int count, char **arguments)
{
	struct header header;
	uint64_t pair[2], entry, a, b, c;
	FILE *file;
	if (count != 3 || !(file = fopen(arguments[2], "rb")))
		fail("usage: harness native|unicorn IMAGE");
	if (fread(&header, sizeof header, 1, file) != 1)
		fail("no header");
	if (!strcmp(arguments[1], "unicorn"))
		open_unicorn(header.gate);
	for (uint64_t i = 0; i < header.segments; i++) {
		if (fread(pair, sizeof pair, 1, file) != 1)
			fail("no segment");
		void *bytes = malloc(pair[1]);
		if (fread(bytes, 1, pair[1], file) != pair[1])
			fail("a segment is short");
		place(pair[0], pair[1], bytes);
		free(bytes);
	}
	for (uint64_t i = 0; i < header.sites; i++) {
		if (fread(pair, sizeof pair, 1, file) != 1)
			fail("no site");
		*find(pair[0]) = (struct site){ pair[0], pair[1], 1, 1, 0 };
	}
	if (uc) {
		const uint8_t stub[] = {
			0x90, // nop: asks the hook, which leaves the answer in rax
			0x48, 0x89, 0x81, 0x80, 0, 0, 0, // mov [rcx+0x80], rax
			0xc3, // ret
		};
		uc_mem_write(uc, header.gate, stub, sizeof stub);
	} else {
		const uint8_t jump[] = { 0xff, 0x25, 0, 0, 0, 0 }; // jmp [rip]
		uint64_t target = (uint64_t)gate;
		memcpy((void *)header.gate, jump, sizeof jump);
		memcpy((void *)(header.gate + sizeof jump), &target, sizeof target);
	}
	while (scanf("%" SCNx64 " %" SCNx64 " %" SCNx64 " %" SCNx64, &entry, &a, &b, &c) == 4) {
		uint64_t start = now();
		uint64_t sum = uc ? enter_unicorn(&header, entry, a, b, c) : enter(entry, a, b, c);
		printf("%" PRIu64 " %" PRIu64 "\n", now() - start, sum);
		fflush(stdout);
	}
	return 0;
}
