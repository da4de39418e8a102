/* Ends a process group at its n-th change of files below a folder.

   Loaded by LD_PRELOAD, so that changes by libraries count like those by Python. They are counted over all
   processes of the group, in a file that is shared.

     CAMPAIGN_FOLDER   only what is below it counts
     CAMPAIGN_COUNTER  file of 8 bytes, the number of changes so far
     CAMPAIGN_LAST     the change that does not happen any more; 0 for none. If it writes, half of its
                       bytes are written. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define FILES 65536
#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static char ours[FILES];
static const char *folder;
static long last;
static long *counter;

__attribute__((constructor)) static void begin(void) {
  const char *path = getenv("CAMPAIGN_COUNTER"), *limit = getenv("CAMPAIGN_LAST");
  folder = getenv("CAMPAIGN_FOLDER");
  last = limit ? atol(limit) : 0;
  int file = path ? REAL(open)(path, O_RDWR) : -1;
  if (!folder || file < 0) {
    folder = NULL;
    return;
  }
  counter = mmap(NULL, sizeof *counter, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  REAL(close)(file);
}

static int below(int base, const char *path) {
  char link[64], start[PATH_MAX];
  if (!folder || !path) return 0;
  if (path[0] == '/') return !strncmp(path, folder, strlen(folder));
  snprintf(link, sizeof link, base == AT_FDCWD ? "/proc/self/cwd" : "/proc/self/fd/%d", base);
  ssize_t size = readlink(link, start, sizeof start - 1);
  if (size < 0) return 0;
  start[size] = 0;
  return !strncmp(start, folder, strlen(folder));
}

/* Counts a change; returns 1 if it is the last, which then may happen by half. */
static int counted(void) {
  return __atomic_add_fetch(counter, 1, __ATOMIC_SEQ_CST) == last;
}

static void end(void) {
  kill(0, SIGKILL);
  for (;;) pause();
}

static void change(int base, const char *path) {
  if (below(base, path) && counted()) end();
}

static int is_ours(int file) { return folder && file >= 0 && file < FILES && ours[file]; }

static int opened(int base, const char *path, int flags, mode_t mode, const char *name) {
  int (*real)(int, const char *, int, ...) = (int (*)(int, const char *, int, ...))dlsym(RTLD_NEXT, name);
  int writes = (flags & (O_WRONLY | O_RDWR)) && below(base, path);
  if (writes && (flags & (O_CREAT | O_TRUNC)) && counted()) end();
  int file = real(base, path, flags, mode);
  if (file >= 0 && file < FILES) ours[file] = writes;
  return file;
}

#define MODE                             \
  mode_t mode = 0;                       \
  if (flags & (O_CREAT | O_TMPFILE)) {   \
    va_list rest;                        \
    va_start(rest, flags);               \
    mode = va_arg(rest, mode_t);         \
    va_end(rest);                        \
  }

int open(const char *path, int flags, ...) { MODE return opened(AT_FDCWD, path, flags, mode, "openat"); }
int open64(const char *path, int flags, ...) { MODE return opened(AT_FDCWD, path, flags, mode, "openat64"); }
int openat(int base, const char *path, int flags, ...) { MODE return opened(base, path, flags, mode, "openat"); }
int openat64(int base, const char *path, int flags, ...) { MODE return opened(base, path, flags, mode, "openat64"); }

int close(int file) {
  if (file >= 0 && file < FILES) ours[file] = 0;
  return REAL(close)(file);
}

ssize_t write(int file, const void *data, size_t size) {
  if (is_ours(file) && counted()) {
    REAL(write)(file, data, size / 2);
    end();
  }
  return REAL(write)(file, data, size);
}

#define PWRITE(name, offset_type)                                                  \
  ssize_t name(int file, const void *data, size_t size, offset_type offset) {     \
    if (is_ours(file) && counted()) {                                              \
      REAL(name)(file, data, size / 2, offset);                                    \
      end();                                                                       \
    }                                                                              \
    return REAL(name)(file, data, size, offset);                                   \
  }
PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)

#define ON_FILE(name, ARGS, ...)              \
  int name ARGS {                             \
    if (is_ours(file) && counted()) end();    \
    return REAL(name)(__VA_ARGS__);           \
  }
ON_FILE(ftruncate, (int file, off_t size), file, size)
ON_FILE(ftruncate64, (int file, off64_t size), file, size)
ON_FILE(fsync, (int file), file)
ON_FILE(fdatasync, (int file), file)

ssize_t writev(int file, const struct iovec *parts, int count) {
  if (is_ours(file) && counted()) {
    REAL(writev)(file, parts, count / 2);
    end();
  }
  return REAL(writev)(file, parts, count);
}

#define ON_PATH(name, ARGS, base, path, ...) \
  int name ARGS {                            \
    change(base, path);                      \
    return REAL(name)(__VA_ARGS__);          \
  }
ON_PATH(rename, (const char *from, const char *to), AT_FDCWD, to, from, to)
ON_PATH(renameat, (int a, const char *from, int b, const char *to), b, to, a, from, b, to)
ON_PATH(renameat2, (int a, const char *from, int b, const char *to, unsigned flags), b, to, a, from, b, to, flags)
ON_PATH(unlink, (const char *path), AT_FDCWD, path, path)
ON_PATH(unlinkat, (int base, const char *path, int flags), base, path, base, path, flags)
ON_PATH(rmdir, (const char *path), AT_FDCWD, path, path)
ON_PATH(mkdir, (const char *path, mode_t mode), AT_FDCWD, path, path, mode)
ON_PATH(mkdirat, (int base, const char *path, mode_t mode), base, path, base, path, mode)
ON_PATH(truncate, (const char *path, off_t size), AT_FDCWD, path, path, size)
ON_PATH(chmod, (const char *path, mode_t mode), AT_FDCWD, path, path, mode)
