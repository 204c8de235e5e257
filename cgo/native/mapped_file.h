// mapped_file.h: what happens when a page of a model's file cannot be read.
#pragma once

#include <cstddef>

namespace steer {

// A weight is read where the file is mapped, on any thread, so an input/output error (or a file
// that was cut off) is a SIGBUS there, with no caller to return an error to. While a mapped_file
// lives, such a signal within its range ends the process with exit code 1 and a sentence on the
// standard error output; any other goes to whoever handled it before (Go's runtime).
class mapped_file {
  public:
    // Until covers is called every address is taken for the file's: its pages are read while it is loaded.
    explicit mapped_file(const char * path);
    ~mapped_file();
    mapped_file(const mapped_file &)             = delete;
    mapped_file & operator=(const mapped_file &) = delete;

    void covers(const void * begin, const void * end);

  private:
    int slot_; // -1: none was free, the signal keeps its old meaning
};

} // namespace steer
