/* Makes system calls on files fail, for tests/disk_faults.rs: loaded with LD_PRELOAD into the server. The file that DISK_FAULTS
 * names holds one fault a line: call (sync or write), errno, part of the path. It is read at each call, so that faults come and go. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static int fault(int fd, const char *call) {
  const char *list = getenv("DISK_FAULTS");
  if (!list) return 0;
  FILE *faults = fopen(list, "re");
  if (!faults) return 0;
  char link[64], path[4096];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, sizeof path - 1);
  char name[16], part[1024];
  int number, found = 0;
  if (length > 0) {
    path[length] = 0;
    while (!found && fscanf(faults, "%15s %d %1023s", name, &number, part) == 3)
      if (!strcmp(name, call) && strstr(path, part)) found = number;
  }
  fclose(faults);
  return found;
}

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

int fdatasync(int fd) {
  int failed = fault(fd, "sync");
  if (failed) return errno = failed, -1;
  return NEXT(fdatasync)(fd);
}

int fsync(int fd) {
  int failed = fault(fd, "sync");
  if (failed) return errno = failed, -1;
  return NEXT(fsync)(fd);
}

ssize_t write(int fd, const void *bytes, size_t length) {
  int failed = fd > 2 ? fault(fd, "write") : 0;
  if (failed) return errno = failed, -1;
  return NEXT(write)(fd, bytes, length);
}
