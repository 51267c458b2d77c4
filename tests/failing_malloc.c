/* malloc that says there is no memory: from the N-th request of some size on, or that one alone. To be preloaded; glibc only.

   fail(first, alone) begins to count requests of at least LEAST bytes, from 0; seen() ends that and tells how many there were. */

#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);

enum { LEAST = 16 << 10 };

static atomic_long first = -1, count;
static atomic_int alone;

static int refused(size_t size) {
    if (size < LEAST || atomic_load(&first) < 0) return 0;
    long before = atomic_fetch_add(&count, 1);
    return atomic_load(&alone) ? before == atomic_load(&first) : before >= atomic_load(&first);
}

void fail(long n, int only_it) {
    atomic_store(&count, 0);
    atomic_store(&alone, only_it);
    atomic_store(&first, n);
}

long seen(void) {
    atomic_store(&first, -1);
    return atomic_load(&count);
}

void *malloc(size_t size) {
    if (refused(size)) return errno = ENOMEM, NULL;
    return __libc_malloc(size);
}

void *calloc(size_t n, size_t size) {
    if (refused(size && n > (size_t)-1 / size ? (size_t)-1 : n * size)) return errno = ENOMEM, NULL;
    return __libc_calloc(n, size);
}

void *realloc(void *old, size_t size) {
    if (refused(size)) return errno = ENOMEM, NULL;
    return __libc_realloc(old, size);
}

void *memalign(size_t align, size_t size) {
    if (refused(size)) return errno = ENOMEM, NULL;
    return __libc_memalign(align, size);
}

void *aligned_alloc(size_t align, size_t size) { return memalign(align, size); }

int posix_memalign(void **to, size_t align, size_t size) {
    void *found = memalign(align, size);
    if (!found && size) return ENOMEM;
    *to = found;
    return 0;
}
