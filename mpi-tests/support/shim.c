// A disk that fails or is slow, an MPI that hangs: preloaded into the farm, it changes what some calls do.
//
// SHIM_FILE   the end of the path of the files concerned
// SHIM_AFTER  this many such calls succeed first
// SHIM_ERRNO  further ones fail with this
// SHIM_TIMES  but at most this many
// SHIM_CALL   "sync" (fsync and fdatasync), "flock", or "write" (the first failing write takes all but five bytes if
//             SHIM_TORN is set, and truncating fails from then on), or "isend" (MPI_Isend of rank 0; no SHIM_FILE)
// SHIM_SLEEP  milliseconds that each such call takes
// SHIM_HOLD   a file: while it exists, such calls wait
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

static atomic_long calls;
static atomic_int broken;

static int is_meant(int fd) {
    char link[64], path[4096];
    const char *end = getenv("SHIM_FILE");
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (!end || length < 0) return 0;
    path[length] = 0;
    size_t wanted = strlen(end);
    return (size_t)length >= wanted && strcmp(path + length - wanted, end) == 0;
}

static int is_call(const char *name) {
    const char *wanted = getenv("SHIM_CALL");
    return wanted && strcmp(wanted, name) == 0;
}

// Whether this call fails. Takes the time that it has to take.
static int fails(void) {
    const char *ms = getenv("SHIM_SLEEP"), *after = getenv("SHIM_AFTER"), *error = getenv("SHIM_ERRNO");
    const char *times = getenv("SHIM_TIMES");
    if (ms) {
        struct timespec time = {atol(ms) / 1000, atol(ms) % 1000 * 1000000L};
        nanosleep(&time, NULL);
    }
    const char *hold = getenv("SHIM_HOLD");
    while (hold && access(hold, F_OK) == 0) nanosleep(&(struct timespec){0, 5000000L}, NULL);
    long number = atomic_fetch_add(&calls, 1) - (after ? atol(after) : 0);
    if (!error || number < 0 || (times && number >= atol(times))) return 0;
    errno = atoi(error);
    return 1;
}

int fsync(int fd) {
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    return is_call("sync") && is_meant(fd) && fails() ? -1 : real(fd);
}

int fdatasync(int fd) {
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
    return is_call("sync") && is_meant(fd) && fails() ? -1 : real(fd);
}

int flock(int fd, int operation) {
    int (*real)(int, int) = (int (*)(int, int))dlsym(RTLD_NEXT, "flock");
    return is_call("flock") && is_meant(fd) && fails() ? -1 : real(fd, operation);
}

ssize_t write(int fd, const void *bytes, size_t count) {
    ssize_t (*real)(int, const void *, size_t) = (ssize_t(*)(int, const void *, size_t))dlsym(RTLD_NEXT, "write");
    if (!is_call("write") || !is_meant(fd) || !fails()) return real(fd, bytes, count);
    int error = errno;
    // Once half of it, then nothing more: a disk that is full.
    if (getenv("SHIM_TORN") && count > 5 && !atomic_exchange(&broken, 1)) return real(fd, bytes, count - 5);
    errno = error;
    return -1;
}

static int no_truncation(int fd) {
    if (!is_call("write") || !getenv("SHIM_TORN") || !broken || !is_meant(fd)) return 0;
    errno = EROFS;
    return 1;
}

int ftruncate(int fd, off_t length) {
    int (*real)(int, off_t) = (int (*)(int, off_t))dlsym(RTLD_NEXT, "ftruncate");
    return no_truncation(fd) ? -1 : real(fd, length);
}

int ftruncate64(int fd, off64_t length) {
    int (*real)(int, off64_t) = (int (*)(int, off64_t))dlsym(RTLD_NEXT, "ftruncate64");
    return no_truncation(fd) ? -1 : real(fd, length);
}

static int is_rank_0(void) {
    const char *rank = getenv("OMPI_COMM_WORLD_RANK");
    if (!rank) rank = getenv("PMI_RANK");
    return rank && strcmp(rank, "0") == 0;
}

// Handles of MPI are integers or pointers; as pointers both pass through unchanged.
int MPI_Isend(const void *bytes, int count, void *type, int to, int tag, void *comm, void *request) {
    int (*real)(const void *, int, void *, int, int, void *, void *) =
        (int (*)(const void *, int, void *, int, int, void *, void *))dlsym(RTLD_NEXT, "MPI_Isend");
    if (is_call("isend") && is_rank_0()) fails();
    return real(bytes, count, type, to, tag, comm, request);
}
