#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <vector>

#include "gradthru/error.h"
#include "report/chart.h"
#include "report/page.h"

namespace gradthru::report {
namespace {

using Json = nlohmann::json;
using testing::HasSubstr;
using testing::Not;

constexpr const char* kHostile = "</script><script>alert(1)</script><!-- & \"'";
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

bool has_charts() {
  try {
    check_charts("");
    return true;
  } catch (const InvalidInput&) {
    return false;
  }
}

/// What stands in the first element that carries data.
std::string first_spec(const std::string& page) {
  const std::string open = "<script type=\"application/json\">";
  const size_t begin = page.find(open) + open.size();
  return page.substr(begin, page.find("</script>", begin) - begin);
}

TEST(Page, text_is_never_markup) {
  const std::string page = html(
      {kHostile,
       {Heading{kHostile}, Paragraph{kHostile}, Table{{{kHostile, "b"}, {kHostile, "-1.5"}}}}});
  EXPECT_THAT(page, Not(HasSubstr("<script")));
  EXPECT_THAT(page, Not(HasSubstr("<!--")));
  EXPECT_THAT(page, HasSubstr("<td class=\"number\">-1.5</td>"));
  size_t count = 0;
  for (size_t at = 0; (at = page.find("&lt;!-- &amp; &quot;&#39;", at)) != std::string::npos;
       ++at) {
    ++count;
  }
  EXPECT_EQ(count, 6);  // title twice, heading, paragraph, two cells
}

TEST(Page, data_cannot_end_its_element) {
  if (!has_charts()) GTEST_SKIP() << "built without charts";
  const Json spec = {{kHostile, {{"text", kHostile}, {"values", {1, 2.5}}}}};
  const std::string text = first_spec(html({"", {Chart{kHostile, spec}}}));
  EXPECT_THAT(text, Not(HasSubstr("<")));
  EXPECT_EQ(Json::parse(text), spec);
}

TEST(Page, data_that_json_lacks) {
  if (!has_charts()) GTEST_SKIP() << "built without charts";
  const Json spec = {{"values", {kNan, 1e300 * 1e300}}, {"text", "\xff"}};
  const Json read = Json::parse(first_spec(html({"", {Chart{"", spec}}})));
  EXPECT_EQ(read, (Json{{"values", {nullptr, nullptr}}, {"text", "\uFFFD"}}));
}

TEST(Page, without_charts_holds_no_scripts) {
  EXPECT_THAT(html({"title", {Paragraph{"text"}}}), Not(HasSubstr("<script")));
}

Json rows_of(const std::vector<double>& values) {
  Json rows = Json::array();
  for (const double value : values) rows.push_back({{"v", value}});
  return rows;
}

double floor_of(const std::vector<double>& values, double rounding) {
  return log_column(rows_of(values), {.key = "v", .title = ""}, rounding).floor;
}

TEST(Chart, floor_lies_below_all_but_rounding) {
  EXPECT_DOUBLE_EQ(floor_of({0.3, 5, 0, kNan}, 0), 0.1);
  EXPECT_DOUBLE_EQ(floor_of({0.3, 5, 3e-16}, 0), 0.1);       // 1e-10 of the greatest
  EXPECT_DOUBLE_EQ(floor_of({2e-16, 3e-16}, 0), 1e-16);      // nothing says that this is rounding
  EXPECT_DOUBLE_EQ(floor_of({2e-16, 3e-16}, 1e-10), 1e-10);  // but the caller may know
  EXPECT_DOUBLE_EQ(floor_of({0, 0}, 0), 1);
  EXPECT_DOUBLE_EQ(floor_of({}, 0), 1);
}

TEST(Chart, triangles_stand_for_what_lies_below) {
  const Column above{.key = "v", .title = "", .log = true, .floor = 0.1};
  EXPECT_FALSE(has_triangles(rows_of({0.1, 2, kNan}), above));
  EXPECT_TRUE(has_triangles(rows_of({0.1, 0}), above));
  EXPECT_FALSE(has_triangles(rows_of({0, -1}), {.key = "v", .title = ""}));
}

TEST(Chart, axis_ends_at_round_numbers) {
  const Series series{"s", "", {"a"}};
  const auto domain = [&](double low, double high) {
    const Json rows = {{{"s", "a"}, {"x", 1}, {"y", low}}, {{"s", "a"}, {"x", 2}, {"y", high}}};
    const Column y{.key = "y", .title = "", .log = true};
    const Json spec = curves(rows, {.key = "x", .title = ""}, y, series);
    return spec["layer"][0]["encoding"]["y"]["scale"]["domain"].get<std::vector<double>>();
  };
  using testing::DoubleEq, testing::ElementsAre;
  EXPECT_THAT(domain(0.3, 42), ElementsAre(DoubleEq(0.2), DoubleEq(50)));
  EXPECT_THAT(domain(0.001, 1000), ElementsAre(DoubleEq(0.001), DoubleEq(1000)));
  EXPECT_THAT(domain(9.9, 9.9), ElementsAre(DoubleEq(5), DoubleEq(10)));
  EXPECT_THAT(domain(1, 1), ElementsAre(DoubleEq(0.5), DoubleEq(1.5)));
}

}  // namespace
}  // namespace gradthru::report
