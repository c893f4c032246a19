"""The installed library as another project's CMake finds it."""

import os
import pathlib
import subprocess
import sys

BUILD = pathlib.Path(os.environ["GRADTHRU_PROGRAM"]).resolve().parents[1]

PROJECT = """
cmake_minimum_required(VERSION 3.25)
project(consumer LANGUAGES C CXX)
set(CMAKE_CXX_STANDARD 20)
find_package(gradthru 0.1 REQUIRED)
add_executable(consumer main.cpp)
target_link_libraries(consumer PRIVATE gradthru::gradthru)
"""

MAIN = """
#include <ATen/ATen.h>
#include <gradthru/gradthru.h>

#include <iostream>

int main() {
  const at::Tensor logits = at::zeros({2, 3}).requires_grad_();
  const gradthru::Key key{.seed = 7};
  const auto z = gradthru::sample(logits, gradthru::reinmax(1.3), {.key = key});
  (z.onehot * at::arange(3)).sum().backward();
  std::cout << z.onehot.sum().item<double>() << " " << logits.grad().sum(1).abs().max().item<double>();
}
"""


def run(*words: str | pathlib.Path) -> str:
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_find_package_builds_a_program(tmp_path):
    tree, source, build = tmp_path / "tree", tmp_path / "source", tmp_path / "build"
    source.mkdir()
    (source / "CMakeLists.txt").write_text(PROJECT)
    (source / "main.cpp").write_text(MAIN)
    run("cmake", "--install", BUILD, "--component", "library", "--prefix", tree)
    run("cmake", "-G", "Ninja", "-S", source, "-B", build, f"-DCMAKE_PREFIX_PATH={tree}",
        f"-DGRADTHRU_PYTHON={sys.executable}")
    run("cmake", "--build", build)
    ones, rest = map(float, run(build / "consumer").split())
    assert ones == 2 and rest < 1e-6


def test_the_library_does_not_link_python():
    (library,) = (path for path in (BUILD / "lib").glob("libgradthru.so.*.*.*"))
    assert "libpython" not in run("readelf", "-d", library)
    assert "libtorch_python" not in run("readelf", "-d", library)
