"""One process of the side-by-side measurement: a thread count, huge pages or not, a dtype."""

import dataclasses
import math

import torch
import torch.nn.functional as F

import ours
import specs
import timing
import usual
import validation

TRIES_TO_CHOOSE = 3
SMALLEST_FOR_MEMORY = 1 << 20  # bytes: below, pages of everything else are what is seen
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def available_bytes() -> int:
    with open("/proc/meminfo") as info:
        return next(int(line.split()[1]) * 1024 for line in info if line.startswith("MemAvail"))


def forward_backward(run, logits, g):
    x = logits.detach().requires_grad_()

    def run_once():
        y = run(x)
        return y, torch.autograd.grad(y, x, g)

    return timing.Step(run_once)


def with_one_thread(step, threads: int):
    def before():
        torch.set_num_threads(1)

    def after():
        torch.set_num_threads(threads)
        # Threads that went away come back here and not in the next candidate's time.
        torch.ones(1 << 18).add_(1)

    return timing.Step(step.run, before, after)


def copies(x):
    return timing.Step(lambda: (x.clone(), x + x))


def compiled(run):
    return torch.compile(run, dynamic=False)


class Shape:
    """What all estimators at a shape share: the data, the floor and PyTorch's own Gumbel-softmax."""

    def __init__(self, job: dict, shape: str):
        self.job, self.text = job, shape
        self.rows, self.categories = specs.parse_shape(shape)
        self.generator = torch.Generator().manual_seed(17)
        make = {"generator": self.generator, "dtype": torch.float32}
        self.logits = torch.randn(self.rows, self.categories, **make)
        self.g = torch.randn(self.rows, self.categories, **make)
        self.failures: dict[str, str] = {}
        self.steps = {"floor": copies(self.logits)}
        validation.check_floor(self.logits, *self.steps["floor"]())
        if self.rows * self.categories <= 4096:
            self.steps["clones"] = self.step(lambda x: x.clone().clone())
        spec = specs.parse_spec("gumbel_softmax")
        self.add("eager", usual.WholeCall("", spec), validation.check_whole_call)
        if job["compile"]:
            torch._dynamo.reset()
            self.add("compiled", compiled(lambda x: F.gumbel_softmax(x, hard=True)),
                     lambda run, *data: validation.check_opaque(spec, run, *data, self.generator))

    def step(self, run):
        return forward_backward(run, self.logits, self.g)

    def add(self, name, run, check) -> None:
        """A candidate that all estimators are compared with, if it is valid."""
        try:
            check(run, self.logits, self.g)
            self.steps[name] = self.step(run)
        except Exception as error:  # noqa: BLE001: a baseline that fails must not stop the others
            self.failures[name] = first_line(error)

    def fastest_usual(self, spec):
        if usual.bytes_needed(spec, self.rows, self.categories) > 0.7 * available_bytes():
            return None
        candidates = usual.variants(spec)
        if len(candidates) == 1:
            return candidates[0]
        steps = [self.step(variant) for variant in candidates]
        times = [min(timing.seconds_per_call(step, 1) for _ in range(TRIES_TO_CHOOSE))
                 for step in steps]
        return candidates[times.index(min(times))]

    def measure(self, text: str) -> dict:
        spec = specs.parse_spec(text)
        cell = {"shape": self.text, "estimator": text, "failures": dict(self.failures)}
        sample = ours.sampler(spec)
        steps = {}

        def attempt(name, check, run):
            try:
                check()
                steps[name] = self.step(run)
            except Exception as error:  # noqa: BLE001: told in the table, and by the exit code
                cell["failures"][name] = first_line(error)

        attempt("ours",
                lambda: validation.check_ours(spec, sample, self.logits, self.g, self.generator),
                lambda x: sample(x)[0])
        variant = self.fastest_usual(spec)
        if variant is None:
            cell["note"] = "the usual Python needs more memory than there is"
        else:
            cell["usual"] = variant.name
            attempt("usual",
                    lambda: validation.check_usual(variant, self.logits, self.g, self.generator),
                    variant)
            if self.job["compile_usual"]:
                fast = compiled(variant)
                attempt("usual compiled",
                        lambda: validation.check_opaque(spec, fast, self.logits, self.g,
                                                        self.generator), fast)
        if "ours" in steps and self.job["threads"] > 1:
            steps["ours, 1 thread"] = with_one_thread(steps["ours"], self.job["threads"])
        cell.update(self.timed(self.steps | steps))
        return cell

    def timed(self, steps: dict) -> dict:
        times = timing.interleave(steps, self.job["repetitions"], self.job["seconds"])
        size = self.logits.nbytes
        memory = {}
        if size >= SMALLEST_FOR_MEMORY:
            peaks = {name: timing.peak_growth(step) for name, step in steps.items()}
            memory = {name: peak / size for name, peak in peaks.items() if peak is not None}
        return {"seconds": times, "ratios": ratios(times), "memory": memory,
                "repetitions": len(times["floor"])}

    def measure_half(self, text: str) -> dict:
        """Ours in half precision against ours in float32, and against the floor in half."""
        spec, dtype = specs.parse_spec(text), DTYPES[self.job["dtype"]]
        cell = {"shape": self.text, "estimator": text, "failures": {}}
        sample = ours.sampler(spec)
        logits, g = self.logits.to(dtype), self.g.to(dtype)
        try:
            validation.check_ours(spec, sample, self.logits, self.g, self.generator)
            validation.check_ours(spec, sample, logits, g, self.generator)
        except Exception as error:  # noqa: BLE001
            cell["failures"]["ours"] = first_line(error)
            return cell
        steps = {"floor": copies(logits),
                 "ours": forward_backward(lambda x: sample(x)[0], logits, g),
                 "ours in float32": self.step(lambda x: sample(x)[0])}
        cell.update(self.timed(steps))
        return cell


def first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


def ratios(times: dict) -> dict:
    """How many times faster ours is; and how many times slower than the floors."""
    if "ours" not in times:
        return {}
    faster = {name: timing.ratio(seconds, times["ours"]) for name, seconds in times.items()
              if name not in ("ours", "floor", "clones")}
    slower = {name: timing.ratio(times["ours"], times[name]) for name in ("floor", "clones")
              if name in times}
    return {name: dataclasses.asdict(spread) for name, spread in (faster | slower).items()}


def measure(job: dict, emit) -> None:
    torch.set_num_threads(job["threads"])
    torch.manual_seed(1)
    ours.load(job["library"])
    for shape, estimators in job["cells"]:
        if job["dtype"] != "float32":
            here = Shape(job | {"compile": False}, shape)
            for estimator in estimators:
                emit(here.measure_half(estimator))
            continue
        here = Shape(job, shape)
        for estimator in estimators:
            emit(here.measure(estimator))
