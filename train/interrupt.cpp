#include "train/interrupt.h"

#include <unistd.h>

#include <atomic>
#include <stdexcept>

namespace gradthru::train {
namespace {

// A signal handler can reach nothing but globals.
std::atomic<int> signals{0};
std::atomic<bool> guarded{false};
static_assert(std::atomic<int>::is_always_lock_free, "used in a signal handler");

void tell() {
  constexpr char kMessage[] = "\ninterrupted: saving; once more to leave at once\n";
  (void)!::write(STDERR_FILENO, kMessage, sizeof kMessage - 1);
}

void on_signal(int) {
  if (signals.fetch_add(1) > 0) ::_exit(130);
  tell();
}

void on_hangup(int) {
  int none = 0;
  if (signals.compare_exchange_strong(none, 1)) tell();
}

}  // namespace

InterruptGuard::InterruptGuard() {
  if (guarded.exchange(true)) throw std::logic_error("InterruptGuard: there is one already");
  signals = 0;
  struct sigaction action {};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART;  // the step in progress may be reading or writing
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, &previous_int_);
  sigaction(SIGTERM, &action, &previous_term_);
  action.sa_handler = on_hangup;
  sigaction(SIGHUP, &action, &previous_hangup_);
  if (previous_hangup_.sa_handler == SIG_IGN) sigaction(SIGHUP, &previous_hangup_, nullptr);
}

InterruptGuard::~InterruptGuard() {
  sigaction(SIGINT, &previous_int_, nullptr);
  sigaction(SIGTERM, &previous_term_, nullptr);
  sigaction(SIGHUP, &previous_hangup_, nullptr);
  guarded = false;
}

bool interrupted() {
  return signals.load(std::memory_order_relaxed) > 0;
}

}  // namespace gradthru::train
