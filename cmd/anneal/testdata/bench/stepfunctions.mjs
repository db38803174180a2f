// Runs executions of a machine in the npm package aws-local-stepfunctions, in memory,
// sixteen at a time, and writes how many transitions a second that is.
//
// stepfunctions.mjs node_modules < {"definition": {...}, "executions": 1000, "tasks": ["S0"], "steps": 10}
import { createRequire } from 'node:module';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const { StateMachine } = createRequire(join(process.argv[2], 'x.js'))('aws-local-stepfunctions');
const { definition, executions, tasks, steps } = JSON.parse(readFileSync(0, 'utf8'));
const taskResourceLocalHandlers = Object.fromEntries((tasks ?? []).map((name) => [name, () => null]));
const machine = new StateMachine(definition, { validationOptions: { checkArn: false } });

// In rounds of all executions, until there is a second of them.
let done = 0;
const began = performance.now();
do {
  let left = executions;
  const starter = async () => {
    while (left-- > 0) {
      await machine.run({}, { overrides: { taskResourceLocalHandlers } }).result;
      done++;
    }
  };
  await Promise.all(Array.from({ length: Math.min(16, executions) }, starter));
} while (performance.now() - began < 1000);
console.log((done * steps * 1000) / (performance.now() - began));
