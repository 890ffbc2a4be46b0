// Validates the chart's objects of the Gateway API and of the Prometheus Operator by the schemas of their CRDs:
//     node .ci/kubernetes/foreign.mjs target/chart/foreign.json
import { readFileSync } from 'node:fs';
import { BackendTLSPolicy, HTTPRoute } from '@kubernetes-models/gateway-api/gateway.networking.k8s.io/v1';
import { PrometheusRule, ServiceMonitor } from '@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1';

const models = { BackendTLSPolicy, HTTPRoute, PrometheusRule, ServiceMonitor };
const seen = new Set();
let failed = false;
for (const { case: name, object } of JSON.parse(readFileSync(process.argv[2], 'utf8'))) {
  const model = models[object.kind];
  seen.add(object.kind);
  try {
    if (!model) throw new Error('no schema is known');
    if (model.apiVersion !== object.apiVersion) throw new Error(`its version is ${model.apiVersion}`);
    new model(object).validate();
    // The schemas must be those that refuse something.
    let refused = false;
    try {
      new model({ ...object, spec: 1 }).validate();
    } catch {
      refused = true;
    }
    if (!refused) throw new Error('the schema accepts everything');
  } catch (error) {
    failed = true;
    console.error(`error: ${name}: ${object.kind} ${object.apiVersion}: ${error.message}`);
  }
}
for (const kind of Object.keys(models).filter((kind) => !seen.has(kind))) {
  failed = true;
  console.error(`error: no case has a ${kind}`);
}
process.exit(failed ? 1 : 0);
