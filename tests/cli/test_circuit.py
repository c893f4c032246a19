"""What `task=dlgn` leaves behind: the circuit, against the network, a simulator and a compiler."""

import shutil
import subprocess

import pytest

from http_fixture import real_data_folder
from tiny_data import PROGRAM, clean_environment, settings, summary

DATA = real_data_folder()
IMAGES, PIXELS, OUTPUTS = 1000, 400, 600

pytestmark = pytest.mark.skipif(DATA is None, reason="GRADTHRU_DATA_DIR with MNIST is not set")

BENCH = f"""
module bench;
  reg [{PIXELS - 1}:0] images [0:{IMAGES - 1}];
  reg [{PIXELS - 1}:0] x;
  wire [{OUTPUTS - 1}:0] y;
  circuit device(x, y);
  integer i;
  initial begin
    $readmemb("inputs.txt", images);
    for (i = 0; i < {IMAGES}; i = i + 1) begin
      x = images[i];
      #1 $display("%b", y);
    end
  end
endmodule
"""

# Words of 64 images; a line for each image, as in outputs.txt.
MAIN = f"""
#include <stdint.h>
#include <stdio.h>
void circuit(const uint64_t *x, uint64_t *y);
int main(void) {{
  static char line[{PIXELS} + 2];
  int more = 1;
  while (more) {{
    static uint64_t x[{PIXELS}], y[{OUTPUTS}];
    int n = 0;
    for (int i = 0; i < {PIXELS}; ++i) x[i] = 0;
    for (; n < 64 && (more = fgets(line, sizeof line, stdin) != 0); ++n)
      for (int i = 0; i < {PIXELS}; ++i)
        x[i] |= (uint64_t)(line[{PIXELS} - 1 - i] == '1') << n;
    circuit(x, y);
    for (int e = 0; e < n; ++e) {{
      for (int o = {OUTPUTS}; o-- > 0;) putchar('0' + (int)(y[o] >> e & 1));
      putchar('\\n');
    }}
  }}
}}
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A network of logic gates, trained for seconds and tested on all images."""
    folder = tmp_path_factory.mktemp("run")
    keys = {
        "task": "dlgn",
        "model__hidden": f"[1500, 1500, {OUTPUTS}]",
        "optimiser__lr": 0.05,
        "epochs": 1,
        "steps_per_epoch": 300,
        "data__valid_limit": 500,
        "data__test_limit": 0,
    }
    command = [PROGRAM, "run", "decoupled", "--threads", "1", "--out", folder / "out"]
    command += ["--methods", "st(tau_f=0.5,tau_b=2)", *settings(**keys)]
    environment = clean_environment(folder) | {"GRADTHRU_DATA_DIR": DATA}
    done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder / "out"


def test_the_circuit_answers_as_the_network_does_on_the_whole_test_set(run):
    final = summary(run)["final"]
    assert final["test_circuit_differs"] == 0
    assert final["test_circuit_acc1"] == pytest.approx(final["test_acc1_argmax"], abs=1e-6)
    assert final["test_circuit_acc1"] > 0.5  # it has learned: no constant circuit
    assert 0 < final["test_circuit_gates"] <= 1500 + 1500 + OUTPUTS


def wanted(run):
    lines = (run / "circuit" / "outputs.txt").read_text().splitlines()
    assert len(lines) == IMAGES and {len(line) for line in lines} == {OUTPUTS}
    assert len(set(lines)) > IMAGES / 2  # images differ
    return lines


@pytest.mark.skipif(shutil.which("iverilog") is None, reason="Icarus Verilog is not installed")
def test_a_simulator_of_verilog_gets_the_same_outputs(run, tmp_path):
    circuit = run / "circuit"
    (tmp_path / "bench.v").write_text(BENCH)
    compiled = tmp_path / "bench.vvp"
    subprocess.run(
        ["iverilog", "-Wall", "-o", compiled, tmp_path / "bench.v", circuit / "circuit.v"],
        check=True,
    )
    done = subprocess.run(
        ["vvp", "-n", compiled], cwd=circuit, check=True, capture_output=True, text=True
    )
    assert done.stdout.split() == wanted(run)


def test_a_compiled_function_gets_the_same_outputs(run, tmp_path):
    (tmp_path / "main.c").write_text(MAIN)
    program = tmp_path / "main"
    source = run / "circuit" / "circuit.c"
    command = ["cc", "-std=c11", "-O1", "-Wall", "-Werror", "-o", program]
    subprocess.run([*command, tmp_path / "main.c", source], check=True)
    inputs = (run / "circuit" / "inputs.txt").read_text()
    done = subprocess.run([program], input=inputs, check=True, capture_output=True, text=True)
    assert done.stdout.split() == wanted(run)
