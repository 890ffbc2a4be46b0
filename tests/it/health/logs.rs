//! Logs in files: a full disk, and rotation.

use std::os::unix::fs::symlink;

use bedrock_bed::{Bed, Signal, until, within};

use super::{Gateway, TEN_SECONDS};

/// The disk is full under both logs, which are one file. Callers notice nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_under_the_log_is_reported_until_there_is_room() {
    let bed = Bed::start();
    let log = bed.folder().join("log");
    symlink("/dev/full", &log).unwrap();
    let gateway = Gateway::start(bed);
    let shown = async |code: &str, there: bool| {
        let Some((200, readyz)) = gateway.page("/readyz").await else { return false };
        let metric = format!("bedrock_gateway_problem{{code=\"{code}\"}} {}", u8::from(there));
        let Some((_, metrics)) = gateway.page("/metrics").await else { return false };
        readyz.contains("\"code\":\"log_file\"") == there && metrics.lines().any(|line| line == metric)
    };
    within(TEN_SECONDS, "a ready gateway that reports its log", async || shown("log_file", true).await).await;
    let (_, readyz) = gateway.page("/readyz").await.unwrap();
    for words in ["the process log is not written: cannot write to ", "No space left on device"] {
        assert!(readyz.contains(words), "{readyz}");
    }
    assert_eq!(gateway.call("alice").await, 200);
    within(TEN_SECONDS, "the report of the access log", async || {
        gateway.page("/readyz").await.unwrap().1.contains("the access log is not written: ")
    })
    .await;

    std::fs::remove_file(&log).unwrap();
    until("the end of the problem", async || shown("log_file", false).await).await;
    // What waited is not lost: the first line, the line of the access log, and the problem itself.
    gateway.is_over("log_file").await;
    let lines = gateway.lines();
    assert_eq!(lines.iter().filter(|line| line["message"] == "serving").count(), 1);
    assert_eq!(lines.iter().filter(|line| line["operation"] == "converse").count(), 1);
    let (_, metrics) = gateway.page("/metrics").await.unwrap();
    for log in ["access", "process"] {
        let none_lost = format!("bedrock_gateway_log_lines_lost_total{{log=\"{log}\"}} 0");
        assert!(metrics.lines().any(|line| line == none_lost), "{metrics}");
    }
}

/// The disk is full for longer than the process log can wait: 256 KiB of lines.
#[tokio::test(flavor = "multi_thread")]
async fn the_log_has_the_number_of_lines_that_a_full_disk_cost() {
    let bed = Bed::start();
    let log = bed.folder().join("log");
    symlink("/dev/full", &log).unwrap();
    let debug = |text: &str| text.replace("[log]", "[log]\nlevel = \"info,bedrock_gateway=debug\"");
    let gateway = Gateway::with(bed, debug, |_| {});
    let lost = async || -> Option<u64> {
        let (_, metrics) = gateway.page("/metrics").await?;
        let count = metrics.lines().find_map(|line| {
            line.strip_prefix("bedrock_gateway_log_lines_lost_total{log=\"process\"} ").map(str::parse)
        });
        count?.ok().filter(|count| *count > 0)
    };
    within(TEN_SECONDS * 3, "a lost line", async || {
        if gateway.page("/readyz").await?.0 == 200 {
            for _ in 0..50 {
                gateway.call("alice").await;
            }
        }
        lost().await
    })
    .await;
    std::fs::remove_file(&log).unwrap();
    until("the line with their number", async || {
        let reported = gateway.lines().iter().filter_map(|line| line["lost"].as_u64()).sum::<u64>();
        (reported > 0 && Some(reported) == lost().await).then_some(())
    })
    .await;
}

/// As logrotate does with `create`: the file is renamed, then the gateway gets SIGHUP.
#[tokio::test(flavor = "multi_thread")]
async fn after_sighup_both_logs_go_to_the_new_file() {
    let gateway = Gateway::start(Bed::start());
    gateway.well().await;
    assert_eq!(gateway.call("alice").await, 200);
    let calls = |name: &str| {
        let lines = super::lines(&gateway.log.with_file_name(name));
        lines.iter().filter(|line| line["operation"] == "converse").count()
    };
    until("the first line", async || calls("log") == 1).await;
    std::fs::rename(&gateway.log, gateway.log.with_file_name("log.1")).unwrap();
    gateway.process.signal(Signal::HUP);
    until("a line of the process log in the new file", async || {
        gateway.lines().iter().any(|line| line["message"] == "configuration reloaded")
    })
    .await;
    assert_eq!(gateway.call("bob").await, 200);
    until("a line of the access log in the new file", async || calls("log") == 1).await;
    assert_eq!(calls("log.1"), 1);
}
