#pragma once

// The slow references, one file per registered estimator: what a test includes to have them all.
#include "reference/darn.h"
#include "reference/gst.h"
#include "reference/gumbel_rao.h"
#include "reference/gumbel_softmax.h"
#include "reference/identity.h"
#include "reference/reinmax.h"
#include "reference/reinmax_uniform.h"
#include "reference/st.h"
#include "reference/st_zgr.h"
#include "reference/zgr.h"
