// Evaluates expressions with the npm package jsonata and writes, for each, how many
// times a second: with the input as JSON and the result as JSON, and over an input
// that was parsed before.
//
// node.mjs node_modules < {"input": "{...}", "expressions": ["a.b"]}
import { createRequire } from 'node:module';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const jsonata = createRequire(join(process.argv[2], 'x.js'))('jsonata');
const { input, expressions } = JSON.parse(readFileSync(0, 'utf8'));

// rate is how many times a second f is done, in half a second, after as long to warm up.
async function rate(f) {
  let n = 0;
  for (const measured of [false, true]) {
    n = 0;
    const began = performance.now();
    while (performance.now() - began < 500) {
      for (let i = 0; i < 100; i++) await f();
      n += 100;
    }
    if (measured) return (n * 1000) / (performance.now() - began);
  }
}

const rates = [];
for (const text of expressions) {
  const expr = jsonata(text);
  const parsed = JSON.parse(input);
  rates.push({
    json: await rate(async () => JSON.stringify(await expr.evaluate(JSON.parse(input)))),
    parsed: await rate(() => expr.evaluate(parsed)),
  });
}
console.log(JSON.stringify(rates));
