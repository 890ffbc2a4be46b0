use super::*;

fn has(page: &str, line: &str) {
    assert!(page.lines().any(|found| found == line), "{line} is not in\n{page}");
}

#[test]
fn every_metric_has_the_documented_name_and_labels() {
    let metrics = Metrics::new();
    metrics.token_checked("okta", "verified");
    metrics.keys_refreshed("okta", "failed");
    metrics.keys_fetched_at("okta", SystemTime::UNIX_EPOCH);
    metrics.value_replaced("cost-center");
    metrics.sts_called("ok");
    metrics.sessions_cached(7);
    metrics.session_looked_up("hit");
    metrics.session_renewed("denied");
    metrics.session_evicted();
    metrics.request_finished(
        Some(Operation::Converse),
        (200, Reason::Ok),
        Ended::Complete,
        Duration::from_millis(30),
        Some(Duration::from_millis(20)),
    );
    metrics.limit_is("requests", Level { used: 17, limit: 4096 });
    metrics.requests_in_flight(17);
    metrics.upstream_throttled(Some(Operation::Converse), "us-east-1");
    metrics.certificate_ends(SystemTime::UNIX_EPOCH + Duration::from_secs(4711));
    metrics.stream_opened();
    metrics.stream_opened();
    metrics.stream_closed();
    metrics.config_loaded(3);
    metrics.clock_skew(-4);
    metrics.revoked(2);
    let page = metrics.encode(Format::OpenMetrics);
    for line in [
        r#"bedrock_gateway_requests_total{operation="converse",status="200",reason="ok"} 1"#,
        r#"bedrock_gateway_request_duration_seconds_count{operation="converse",outcome="answered"} 1"#,
        r#"bedrock_gateway_first_byte_seconds_count{operation="converse",outcome="answered"} 1"#,
        r#"bedrock_gateway_limit{name="requests"} 4096"#,
        r#"bedrock_gateway_limit_used{name="requests"} 17"#,
        "bedrock_gateway_requests_in_flight 17",
        r#"bedrock_gateway_upstream_throttled_total{operation="converse",region="us-east-1"} 1"#,
        r#"bedrock_gateway_certificate_not_after_seconds{listener="https"} 4711"#,
        "bedrock_gateway_streams_open 1",
        r#"bedrock_gateway_sts_calls_total{outcome="ok"} 1"#,
        "bedrock_gateway_sessions 7",
        r#"bedrock_gateway_session_lookups_total{outcome="hit"} 1"#,
        r#"bedrock_gateway_session_renewals_total{outcome="denied"} 1"#,
        "bedrock_gateway_session_evictions_total 1",
        r#"bedrock_gateway_token_checks_total{issuer="okta",outcome="verified"} 1"#,
        r#"bedrock_gateway_key_refreshes_total{issuer="okta",outcome="failed"} 1"#,
        r#"bedrock_gateway_mapping_replacements_total{target="cost-center"} 1"#,
        "bedrock_gateway_config_generation 3",
        "bedrock_gateway_config_reload_failed 0",
        "bedrock_gateway_clock_skew_seconds -4",
        "bedrock_gateway_revocations 2",
        "# EOF",
    ] {
        has(&page, line);
    }
    assert!(page.contains(r#"bedrock_gateway_keys_age_seconds{issuer="okta"} 1"#), "{page}");
}

#[test]
fn a_rejected_configuration_shows_until_one_is_loaded() {
    let metrics = Metrics::new();
    metrics.config_refused(true);
    has(&metrics.encode(Format::OpenMetrics), "bedrock_gateway_config_reload_failed 1");
    metrics.config_refused(false);
    has(&metrics.encode(Format::OpenMetrics), "bedrock_gateway_config_reload_failed 0");
}

#[test]
fn a_removed_issuer_has_no_age_of_keys() {
    let metrics = Metrics::new();
    for issuer in ["okta", "entra"] {
        metrics.keys_fetched_at(issuer, SystemTime::UNIX_EPOCH);
    }
    assert!(metrics.encode(Format::OpenMetrics).contains("keys_age_seconds{issuer=\"entra\"}"));
    metrics.issuers_are(&["okta".into()]);
    let page = metrics.encode(Format::OpenMetrics);
    assert!(page.contains("keys_age_seconds{issuer=\"okta\"}"), "{page}");
    assert!(!page.contains("keys_age_seconds{issuer=\"entra\"}"), "{page}");
}
