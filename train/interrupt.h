#pragma once

#include <csignal>

namespace gradthru::train {

/// While it lives, the first SIGINT or SIGTERM only sets a flag, so that the step in progress can
/// end and be saved; the second leaves at once with exit code 130. SIGHUP sets the flag too, but
/// never counts as a second one: of the death of a parent with several threads, the kernel may tell
/// once for each. It stays ignored where it was (nohup). One at a time (std::logic_error); the
/// handlers that were there come back at its end, and the flag is lowered at its beginning.
class InterruptGuard {
 public:
  InterruptGuard();
  ~InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;

 private:
  struct sigaction previous_int_ {};
  struct sigaction previous_term_ {};
  struct sigaction previous_hangup_ {};
};

/// Whether a signal came since the last InterruptGuard began.
bool interrupted();

}  // namespace gradthru::train
