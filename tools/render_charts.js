// Draws the charts of a page without a browser: reads {"scripts": [...], "specs": [...]} from the
// file given, prints {"svgs": [...], "complaints": [...]}.
"use strict";
const fs = require("fs");
const vm = require("vm");

const { scripts, specs } = JSON.parse(fs.readFileSync(process.argv[2], "utf8"));
for (const script of scripts) vm.runInThisContext(script);

const complaints = [];
const complain = (...words) => complaints.push(words.join(" "));
const logger = { level: () => logger, error: complain, warn: complain, info() {}, debug() {} };

async function svg(spec) {
  const compiled = vegaLite.compile(spec, { logger }).spec;
  const view = new vega.View(vega.parse(compiled), { renderer: "none", logger });
  const drawn = await view.toSVG();
  view.finalize();
  return drawn;
}

(async () => {
  const svgs = [];
  for (const spec of specs) svgs.push(await svg(spec));
  console.log(JSON.stringify({ svgs, complaints, embeds: typeof vegaEmbed }));
})();
