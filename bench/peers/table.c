// A func-stack table as the kernel keeps it: klp_ops in a hash of lists, each with a list of funcs, newest first (L26).
//
// table FUNCTIONS CALLS: prints nanoseconds per look-up in random order, and the sum of the answers.
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { HASH_BITS = 12 };

struct func {
	struct func *next;
	uint64_t new_func;
};

struct ops {
	struct ops *next;
	struct func *func_stack;
	uint64_t ip;
};

static struct ops *table[1 << HASH_BITS];

static uint64_t hash(uint64_t ip)
{
	return (ip * 0x61c8864680b583ebull) >> (64 - HASH_BITS); // the kernel's hash_long
}

static __attribute__((noinline)) uint64_t dispatch(uint64_t ip)
{
	for (struct ops *ops = table[hash(ip)]; ops; ops = ops->next)
		if (ops->ip == ip)
			return ops->func_stack->new_func;
	return 0;
}

int main(int argc, char **argv)
{
	uint64_t functions = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000, calls = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
	uint64_t *order = malloc(calls * sizeof *order), sum = 0, state = 1;
	struct timespec start, end;

	for (uint64_t i = 0; i < functions; i++) {
		struct ops *ops = malloc(sizeof *ops);
		struct func *func = malloc(sizeof *func);
		uint64_t ip = 0xffffffff81000004ull + 32 * i;

		*func = (struct func){ NULL, 0xffffffffc0000010ull + 64 * i };
		*ops = (struct ops){ table[hash(ip)], func, ip };
		table[hash(ip)] = ops;
	}
	for (uint64_t i = 0; i < calls; i++) {
		state = state * 6364136223846793005ull + 1442695040888963407ull;
		order[i] = 0xffffffff81000004ull + 32 * ((state >> 33) % functions);
	}
	clock_gettime(CLOCK_MONOTONIC, &start);
	for (uint64_t i = 0; i < calls; i++)
		sum += dispatch(order[i]);
	clock_gettime(CLOCK_MONOTONIC, &end);
	printf("%.3f %" PRIu64 "\n", ((double)(end.tv_sec - start.tv_sec) * 1e9 + (double)(end.tv_nsec - start.tv_nsec)) / (double)calls, sum);
	return 0;
}
