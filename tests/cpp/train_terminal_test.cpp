#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <sstream>
#include <stdexcept>

#include "train/interrupt.h"
#include "train/progress.h"

namespace gradthru::train {
namespace {
using ::testing::ExitedWithCode;
using ::testing::HasSubstr;
using ::testing::Not;

TEST(Progress, OnATerminalOneLineIsRedrawnTenTimesASecondAtMost) {
  std::ostringstream out;
  double now = 100;
  {
    Progress progress("vae", 1000, 0, out, /*terminal=*/true, [&] { return now; });
    for (int step = 1; step <= 1000; ++step) {
      now += 0.002;  // two seconds in all
      progress.update(step, 100, 3.25);
    }
  }
  const std::string text = out.str();
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1);  // at the end
  EXPECT_EQ(text.back(), '\n');
  const auto redraws = std::count(text.begin(), text.end(), '\r');
  EXPECT_GE(redraws, 15);
  EXPECT_LE(redraws, 21);
  EXPECT_THAT(text, HasSubstr("1000/1000 (100%), loss 3.25, 0:02, 50000 examples/s"));
}

TEST(Progress, PipedItWritesPlainLinesNowAndThen) {
  std::ostringstream out;
  double now = 0;
  Progress progress("vae", 200, 100, out, /*terminal=*/false, [&] { return now; });
  for (int step = 101; step <= 150; ++step) {
    now += 0.5;
    progress.update(step, 10);
  }
  progress.finish();
  progress.finish();
  const std::string text = out.str();
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 3);  // at 10 s, 20 s and the end
  EXPECT_THAT(text, Not(HasSubstr("\r")));
  EXPECT_THAT(text, Not(HasSubstr("\033")));
  EXPECT_THAT(text, Not(HasSubstr("loss")));
  // Resumed at step 100: the speed is that of this process.
  EXPECT_THAT(text, HasSubstr("vae 120/200 (60%), 0:40 left, 20 examples/s\n"));
}

TEST(Interrupt, TheFirstSignalOnlyRaisesAFlag) {
  std::signal(SIGHUP, SIG_DFL);  // ignored under nohup
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
    const InterruptGuard guard;
    EXPECT_FALSE(interrupted());
    std::raise(signal);
    EXPECT_TRUE(interrupted());
  }
}

TEST(Interrupt, TheSecondLeavesAtOnce) {
  ::testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_EXIT(
      {
        const InterruptGuard guard;
        std::raise(SIGINT);
        if (!interrupted()) std::exit(3);
        std::raise(SIGTERM);
        std::exit(4);
      },
      ExitedWithCode(130), "once more to leave at once");
}

TEST(Interrupt, AHangUpIsNeverTheSecond) {
  const InterruptGuard guard;
  for (const int signal : {SIGINT, SIGHUP, SIGHUP}) std::raise(signal);
  EXPECT_TRUE(interrupted());
}

TEST(Interrupt, AHangUpStaysIgnored) {
  std::signal(SIGHUP, SIG_IGN);
  {
    const InterruptGuard guard;
    std::raise(SIGHUP);
    EXPECT_FALSE(interrupted());
  }
  EXPECT_EQ(std::signal(SIGHUP, SIG_DFL), SIG_IGN);
}

TEST(Interrupt, HandlersComeBack) {
  struct sigaction before {
  }, after{};
  sigaction(SIGINT, nullptr, &before);
  {
    const InterruptGuard guard;
    EXPECT_THROW(InterruptGuard(), std::logic_error);
  }
  sigaction(SIGINT, nullptr, &after);
  EXPECT_EQ(before.sa_handler, after.sa_handler);
}

}  // namespace
}  // namespace gradthru::train
