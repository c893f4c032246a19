#include "report/embedded.h"

// The assembler copies a file as it is: as a literal, a megabyte takes the compiler seconds.
#define GRADTHRU_EMBED(symbol, file)                                           \
  __asm__(".pushsection .rodata\n" #symbol ":\n.incbin \"" file "\"\n" #symbol \
          "_end:\n.popsection\n");                                             \
  extern "C" {                                                                 \
  [[gnu::visibility("hidden")]] extern const char symbol[];                    \
  [[gnu::visibility("hidden")]] extern const char symbol##_end[];              \
  }

GRADTHRU_EMBED(gradthru_draw_script, GRADTHRU_PAGE_DIR "/draw.js")
GRADTHRU_EMBED(gradthru_style_sheet, GRADTHRU_PAGE_DIR "/page.css")
GRADTHRU_EMBED(gradthru_notices, GRADTHRU_PAGE_DIR "/notices.txt")
#ifdef GRADTHRU_PAGE_SCRIPTS_DIR
GRADTHRU_EMBED(gradthru_vega, GRADTHRU_PAGE_SCRIPTS_DIR "/vega.js")
GRADTHRU_EMBED(gradthru_vega_lite, GRADTHRU_PAGE_SCRIPTS_DIR "/vega-lite.js")
GRADTHRU_EMBED(gradthru_vega_embed, GRADTHRU_PAGE_SCRIPTS_DIR "/vega-embed.js")
#endif

namespace gradthru::report {
namespace {

std::string_view between(const char* begin, const char* end) {
  return {begin, static_cast<size_t>(end - begin)};
}

}  // namespace

ChartScripts chart_scripts() {
#ifdef GRADTHRU_PAGE_SCRIPTS_DIR
  return {between(gradthru_vega, gradthru_vega_end),
          between(gradthru_vega_lite, gradthru_vega_lite_end),
          between(gradthru_vega_embed, gradthru_vega_embed_end)};
#else
  return {};
#endif
}

std::string_view notices() {
  return between(gradthru_notices, gradthru_notices_end);
}

std::string_view draw_script() {
  return between(gradthru_draw_script, gradthru_draw_script_end);
}

std::string_view style_sheet() {
  return between(gradthru_style_sheet, gradthru_style_sheet_end);
}

}  // namespace gradthru::report
