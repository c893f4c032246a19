#pragma once

// The whole public interface of gradthru: gradients through discrete steps.
#include "gradthru/bernoulli.h"
#include "gradthru/categorical.h"
#include "gradthru/error.h"
#include "gradthru/estimator.h"
#include "gradthru/expectation.h"
#include "gradthru/key.h"
#include "gradthru/precision.h"
#include "gradthru/psa.h"
