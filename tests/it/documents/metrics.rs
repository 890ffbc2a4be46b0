//! `docs/METRICS.md` has every metric, with its type and its labels, and no other.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use bedrock_gateway::limits::Level;
use bedrock_gateway::reason::Reason;
use bedrock_gateway::route::Operation;
use bedrock_gateway::telemetry::access::Ended;
use bedrock_gateway::telemetry::metrics::{Format, Metrics, Outcome};

use crate::listeners::get;
use crate::world::{CONVERSE, HELLO, World, post};

const DOCUMENT: &str = include_str!("../../../docs/METRICS.md");
const SOURCE: &str = include_str!("../../../src/telemetry/metrics.rs");

/// Type and labels by name.
type Known = BTreeMap<String, (String, BTreeSet<String>)>;

fn documented() -> Known {
    let rows = DOCUMENT
        .lines()
        .filter(|line| line.starts_with("| `bedrock_gateway_") || line.starts_with("| `process_"));
    rows.map(|row| {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let words = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
        assert!(["stable", "may change"].contains(&cells[6]), "{row}");
        let name = words(cells[1]).remove(0);
        (name, (cells[2].to_owned(), words(cells[4]).into_iter().collect()))
    })
    .collect()
}

/// The metrics of a page of `/metrics`. A sample of a histogram counts for the histogram.
fn scraped(page: &str) -> Known {
    let mut known = Known::new();
    let types: BTreeMap<&str, &str> =
        page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' ')).collect();
    for sample in page.lines().filter(|line| !line.starts_with('#')) {
        let (name, labels) = match sample.split_once('{') {
            Some((name, rest)) => (name, rest.rsplit_once('}').unwrap().0),
            None => (sample.split(' ').next().unwrap(), ""),
        };
        let histogram = ["_bucket", "_count", "_sum"].iter().find_map(|end| name.strip_suffix(end));
        let histogram = histogram.filter(|name| types.get(name) == Some(&"histogram"));
        let family = histogram.or_else(|| name.strip_suffix("_total")).unwrap_or(name);
        let labels = labels.split("\",").filter_map(|label| label.split_once("=\""));
        let labels = labels.map(|(name, _)| name.to_owned()).filter(|name| name != "le").collect();
        // Prometheus's own format has the type of a counter under the name of its sample.
        let kind = types.get(name).unwrap_or_else(|| &types[family]);
        known.insert(histogram.unwrap_or(name).to_owned(), ((*kind).to_owned(), labels));
    }
    known
}

/// A page with a sample of every metric: those without one are not on it.
fn whole_page() -> String {
    let metrics = Metrics::new();
    metrics.token_checked("okta", "verified");
    metrics.keys_refreshed("okta", "ok");
    metrics.keys_fetched_at("okta", SystemTime::UNIX_EPOCH);
    metrics.value_replaced("name");
    metrics.sts_called("ok");
    metrics.problem("sts", false);
    metrics.log_lines_lost("access", 0);
    metrics.session_looked_up("hit");
    metrics.session_renewed("ok");
    let (converse, outcome) = (Some(Operation::Converse), (200, Reason::Ok));
    metrics.request_finished(converse, outcome, Ended::Complete, Duration::ZERO, Some(Duration::ZERO));
    metrics.upstream_throttled(converse, "us-east-1");
    metrics.limit_is("requests", Level { used: 1, limit: 2 });
    metrics.certificate_ends(SystemTime::UNIX_EPOCH);
    metrics.encode(Format::OpenMetrics)
}

#[test]
fn every_metric_is_documented_with_its_type_and_labels() {
    let scraped = scraped(&whole_page());
    assert_eq!(documented(), scraped);
    // The page has all that are registered: none lacks a sample.
    let registered = SOURCE.split("names.of(").skip(1).filter_map(|call| call.split('"').nth(1));
    let registered: BTreeSet<String> = registered.map(|name| format!("bedrock_gateway_{name}")).collect();
    let own = scraped.keys().filter(|name| name.starts_with("bedrock_gateway_"));
    let families = own.map(|name| name.strip_suffix("_total").unwrap_or(name).to_owned());
    assert_eq!(families.collect::<BTreeSet<_>>(), registered);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_running_gateway_shows_is_documented() {
    let world = World::start().await;
    assert_eq!(world.send(post(CONVERSE, &world.token("alice"), HELLO)).await.status, 200);
    world.logged(1).await;
    let answer = get(world.gateway.addresses().probe.unwrap(), "/metrics").await;
    let page = String::from_utf8(answer.body.to_vec()).unwrap();
    let (documented, shown) = (documented(), scraped(&page));
    assert!(shown.len() > 10, "{shown:?}");
    for (name, metric) in shown {
        assert_eq!(documented.get(&name), Some(&metric), "{name}");
    }
}

/// The closed lists of label values are the code's.
#[test]
fn values_of_labels_are_documented() {
    let row = |label: &str| {
        let begin = format!("| {label} | ");
        DOCUMENT
            .lines()
            .find_map(|line| line.strip_prefix(&begin))
            .unwrap_or_else(|| panic!("{label} has no row"))
    };
    let words = |text: &str| text.split('`').skip(1).step_by(2).map(str::to_owned).collect::<BTreeSet<_>>();
    let operations = Operation::ALL.iter().map(|operation| operation.as_str()).chain(["none"]);
    assert_eq!(words(row("`operation`")), operations.map(str::to_owned).collect());
    let sts = Reason::ALL.iter().map(|reason| reason.as_str()).filter(|word| word.starts_with("sts_"));
    let sts = sts.chain(["ok"]);
    assert_eq!(words(row("`outcome` of `sts_calls_total`")), sts.map(str::to_owned).collect());
    let outcomes = Outcome::ALL.iter().map(|outcome| outcome.as_str().to_owned());
    assert_eq!(words(row("`outcome` of the histograms")), outcomes.collect());
    // No query or alert reads a metric that is not there.
    let known: BTreeSet<String> = documented().into_keys().collect();
    for word in DOCUMENT.split(|c: char| !(c.is_alphanumeric() || c == '_')) {
        let ends = ["_bucket", "_count"];
        let base = ends.iter().find_map(|end| word.strip_suffix(end)).unwrap_or(word);
        assert!(!word.starts_with("bedrock_gateway_") || known.contains(base), "{word}");
    }
}
