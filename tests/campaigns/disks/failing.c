/* Makes a disk fail: preloaded, it stands before calls of the C library that write to a folder.

   Functions that the C library calls itself, such as write in fwrite, are not seen. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

/* Names are known to device.py, too. */
enum { NOTHING, BYTES, CLOSE, SYNC, RENAME, READ_ONLY, KINDS };

static char folder[PATH_MAX];
static atomic_int kind = NOTHING, error;
static atomic_long left, failures, calls[KINDS];

/* Fails after `count` bytes or calls of a kind; counts calls from 0. */
void fail_in(const char *path, int what, int number, long count) {
    kind = NOTHING;
    strncpy(folder, path, sizeof folder - 1);
    error = number;
    left = count;
    failures = 0;
    for (int each = 0; each < KINDS; each++) calls[each] = 0;
    kind = what;
}

long failures_so_far(void) { return failures; }

long calls_so_far(int what) { return calls[what]; }

static int fails(void) {
    failures++;
    errno = error;
    return -1;
}

static int inside(int file) {
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    return length > 0 && !strncmp(path, folder, strlen(folder));
}

static int path_inside(const char *path) { return !strncmp(path, folder, strlen(folder)); }

static int names_inside(int at, const char *path) {
    return path[0] == '/' || at == AT_FDCWD ? path_inside(path) : inside(at);
}

/* The rest of the disk; -1 if there is none, so that a write fails. */
static long room(int file, size_t wanted) {
    int before = errno;
    if (kind != BYTES || !inside(file)) {
        errno = before;
        return wanted;
    }
    errno = before;
    if (!wanted) return 0;
    if (left <= 0) return fails();
    return left < (long)wanted ? left : (long)wanted;
}

static ssize_t taken(int file, ssize_t written) {
    int before = errno;
    if (kind == BYTES && written > 0 && inside(file)) left -= written;
    errno = before;
    return written;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

ssize_t write(int file, const void *data, size_t size) {
    long some = room(file, size);
    return some < 0 ? -1 : taken(file, REAL(write)(file, data, some));
}

ssize_t pwrite(int file, const void *data, size_t size, off_t place) {
    long some = room(file, size);
    return some < 0 ? -1 : taken(file, REAL(pwrite)(file, data, some, place));
}

ssize_t pwrite64(int file, const void *data, size_t size, off64_t place) {
    return pwrite(file, data, size, place);
}

ssize_t writev(int file, const struct iovec *parts, int count) {
    size_t size = 0;
    for (int part = 0; part < count; part++) size += parts[part].iov_len;
    long some = room(file, size);
    if (some < 0) return -1;
    if ((size_t)some == size) return taken(file, REAL(writev)(file, parts, count));
    struct iovec first = {parts[0].iov_base, (size_t)some < parts[0].iov_len ? (size_t)some : parts[0].iov_len};
    return taken(file, REAL(writev)(file, &first, 1));
}

ssize_t sendfile(int out, int in, off_t *place, size_t size) {
    long some = room(out, size);
    return some < 0 ? -1 : taken(out, REAL(sendfile)(out, in, place, some));
}

ssize_t sendfile64(int out, int in, off64_t *place, size_t size) {
    return sendfile(out, in, place, size);
}

ssize_t copy_file_range(int in, off64_t *from, int out, off64_t *to, size_t size, unsigned flags) {
    long some = room(out, size);
    return some < 0 ? -1 : taken(out, REAL(copy_file_range)(in, from, out, to, some, flags));
}

/* Counts a call; true if it fails. */
static int counted(int what) {
    calls[what]++;
    return kind == what && --left < 0;
}

/* What was not written yet is lost. */
static void lose(int file) {
    struct stat known;
    if (!fstat(file, &known) && known.st_size && ftruncate(file, known.st_size / 2)) return;
}

int close(int file) {
    int writes = folder[0] && (fcntl(file, F_GETFL) & O_ACCMODE) != O_RDONLY;
    if (writes && inside(file) && counted(CLOSE)) {
        lose(file);
        REAL(close)(file);
        return fails();
    }
    return REAL(close)(file);
}

int fsync(int file) {
    if (folder[0] && inside(file) && counted(SYNC)) {
        lose(file);
        return fails();
    }
    return REAL(fsync)(file);
}

int fdatasync(int file) {
    if (folder[0] && inside(file) && counted(SYNC)) {
        lose(file);
        return fails();
    }
    return REAL(fdatasync)(file);
}

static int refused(int what, int at, const char *path) {
    return folder[0] && names_inside(at, path) && counted(what);
}

int rename(const char *from, const char *to) {
    if (refused(RENAME, AT_FDCWD, to) || refused(READ_ONLY, AT_FDCWD, to)) return fails();
    return REAL(rename)(from, to);
}

int renameat(int from_at, const char *from, int to_at, const char *to) {
    if (refused(RENAME, to_at, to) || refused(READ_ONLY, to_at, to)) return fails();
    return REAL(renameat)(from_at, from, to_at, to);
}

int mkdir(const char *path, mode_t mode) {
    return refused(READ_ONLY, AT_FDCWD, path) ? fails() : REAL(mkdir)(path, mode);
}

int mkdirat(int at, const char *path, mode_t mode) {
    return refused(READ_ONLY, at, path) ? fails() : REAL(mkdirat)(at, path, mode);
}

int unlink(const char *path) {
    return refused(READ_ONLY, AT_FDCWD, path) ? fails() : REAL(unlink)(path);
}

int unlinkat(int at, const char *path, int flags) {
    return refused(READ_ONLY, at, path) ? fails() : REAL(unlinkat)(at, path, flags);
}

int rmdir(const char *path) {
    return refused(READ_ONLY, AT_FDCWD, path) ? fails() : REAL(rmdir)(path);
}

#define OPEN(name, at, ...) \
    {                                                                                   \
        va_list rest;                                                                   \
        va_start(rest, flags);                                                          \
        int mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(rest, int) : 0;             \
        va_end(rest);                                                                   \
        int writes = (flags & O_ACCMODE) != O_RDONLY || flags & O_CREAT;                \
        return writes && refused(READ_ONLY, at, path) ? fails() : REAL(name)(__VA_ARGS__); \
    }

int open(const char *path, int flags, ...) OPEN(open, AT_FDCWD, path, flags, mode)
int open64(const char *path, int flags, ...) OPEN(open64, AT_FDCWD, path, flags, mode)
int openat(int at, const char *path, int flags, ...) OPEN(openat, at, at, path, flags, mode)
int openat64(int at, const char *path, int flags, ...) OPEN(openat64, at, at, path, flags, mode)
