// Compares the decisions of the stand-in's policy evaluator with those of @cloud-copilot/iam-simulate.
//
//   node .ci/iam/simulate.mjs FILE
//
// FILE is what the test `iam_table` writes: a list of { name, expect, requests }, where `expect` is "allow" or "deny", and a case is
// allowed if every request of it is. The simulator is a tool of CI: the gateway neither links nor ships it.
import { readFileSync } from 'node:fs'
import { runSimulation } from '@cloud-copilot/iam-simulate'

const cases = JSON.parse(readFileSync(process.argv[2], 'utf8'))
let faults = 0
const fault = (name, text) => {
  faults += 1
  console.error(`${name}: ${text}`)
}

for (const { name, expect, requests } of cases) {
  const decisions = []
  for (const simulation of requests) {
    const outcome = await runSimulation(simulation, { simulationMode: 'Strict' })
    if (outcome.resultType === 'error') {
      fault(name, `${simulation.request.action}: not simulated: ${JSON.stringify(outcome.errors)}`)
      continue
    }
    decisions.push({ action: simulation.request.action, result: outcome.overallResult })
  }
  const allowed = decisions.length === requests.length && decisions.every(({ result }) => result === 'Allowed')
  if (allowed !== (expect === 'allow')) {
    fault(name, `expected ${expect}, and the simulator says ${JSON.stringify(decisions)}`)
  }
}
if (cases.length === 0) fault(process.argv[2], 'there is no case')
console.log(`${cases.length} cases, ${faults} faults`)
process.exit(faults === 0 ? 0 : 1)
