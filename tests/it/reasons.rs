//! Every reason has a test that asserts it, together with the status.

use std::path::Path;

use bedrock_gateway::reason::Reason;

/// The test that asserts a reason.
enum Test {
    /// Over a socket: a file of `tests/it` and a function of it.
    Socket(&'static str, &'static str),
    /// Without a socket: a function in `src/error/tests/no_socket.rs`. The comment above it says why.
    Unit(&'static str),
}

/// The test of a reason. This is a match, so a new reason without a test does not compile.
fn test_of(reason: Reason) -> Test {
    use Test::{Socket, Unit};
    match reason {
        Reason::Ok => Socket("answers", "the_access_log_describes_each_request"),
        Reason::UpstreamError => Socket("forwarding", "bedrocks_errors_pass_unchanged_and_are_not_retried"),
        Reason::UpstreamAborted => {
            Socket("forwarding", "an_incomplete_error_does_not_look_complete_to_the_client")
        }
        Reason::UpstreamNotAnswered => {
            Socket("forwarding", "a_request_that_bedrock_may_have_read_is_not_retried")
        }
        Reason::ClientLeft => Socket("forwarding", "a_client_that_leaves_before_the_answer_ends_the_call"),
        Reason::NotHttp => Socket("listeners", "bytes_that_are_not_http_are_counted"),
        Reason::BusyGateway | Reason::BusyCaller => {
            Socket("answers", "one_caller_gets_429_and_a_full_gateway_gives_503")
        }
        Reason::RouteUnknown | Reason::RouteBidirectional | Reason::RouteMalformed => {
            Socket("answers", "unknown_and_malformed_targets")
        }
        Reason::HeaderMalformed => Socket("refusals", "a_header_to_bedrock_that_is_not_ascii"),
        Reason::BodyTooLarge => Socket("answers", "a_body_over_the_limit_is_refused_and_the_refusal_arrives"),
        Reason::BodyTooSlow => Unit("a_silent_body_is_too_slow"),
        Reason::BodyBroken => Socket("answers", "an_unfinished_body_does_not_reach_bedrock"),
        Reason::BodyMalformed | Reason::ProjectForbidden | Reason::StoredForbidden => {
            Socket("dialects", "refusals_before_anything_is_sent")
        }
        Reason::BusyBodies => Unit("bodies_that_fill_the_memory_leave_no_room_for_another"),
        Reason::BusyCallerBodies => Socket("refusals", "a_body_that_uses_all_memory_of_its_caller"),
        Reason::TokenMissing => Socket("authentication", "a_header_without_a_token_counts_as_none"),
        Reason::TokensDiffer | Reason::TokenHeaderRepeated => {
            Socket("authentication", "two_different_tokens_and_duplicate_headers_are_refused")
        }
        Reason::TokenMalformed | Reason::TokenKeyUnknown => {
            Socket("refusals", "malformed_tokens_and_tokens_with_an_unknown_key")
        }
        Reason::TokenExpired
        | Reason::TokenOversized
        | Reason::TokenAlgorithm
        | Reason::TokenCriticalHeader
        | Reason::TokenType
        | Reason::TokenIssuer
        | Reason::TokenAudience
        | Reason::TokenNotYetValid
        | Reason::TokenSignature
        | Reason::TokenClaims => {
            Socket("authentication", "every_kind_of_invalid_token_is_refused_and_sent_nowhere")
        }
        Reason::TokenTooOld => Socket("reload", "a_remembered_token_is_held_against_the_new_settings"),
        Reason::KeysUnavailable => Socket(
            "authentication",
            "documents_that_are_late_large_redirected_or_of_another_issuer_are_rejected",
        ),
        Reason::RequirementFailed
        | Reason::NoRole
        | Reason::ValueMissing
        | Reason::OperationForbidden
        | Reason::ModelForbidden
        | Reason::RegionForbidden => Socket("answers", "mapping_and_role_refuse_a_caller"),
        Reason::EvaluationFailed => {
            Socket("claims", "a_number_that_is_not_a_64_bit_integer_never_becomes_a_name_or_tag")
        }
        Reason::ClaimsTooLarge => Socket("claims", "a_name_that_is_not_a_string_is_refused"),
        Reason::RequestHeaderRepeated => {
            Socket("claims", "a_listed_header_that_is_forbidden_missing_or_repeated_is_refused")
        }
        Reason::ValueInvalid | Reason::GroupsOverage | Reason::RequestHeaderIllegal => {
            Socket("refusals", "claims_and_headers_that_the_mapping_rejects")
        }
        Reason::SessionNameForbidden => {
            Socket("roles", "a_session_name_that_no_pattern_of_the_role_matches_is_refused_before_sts")
        }
        Reason::Revoked => {
            Socket("revoke", "a_cached_token_and_a_cached_session_are_useless_from_the_next_request_on")
        }
        Reason::StsDenied | Reason::StsRefusesGateway | Reason::TooManySessions | Reason::UpstreamConnect => {
            Socket("dialects", "refusals_of_sts_and_an_unreachable_bedrock")
        }
        Reason::StsThrottled => Socket("refusals", "an_sts_that_throttles_every_call"),
        Reason::StsFailed => Socket("refusals", "an_sts_that_fails_or_answers_incompletely"),
        Reason::StsUnreachable => Socket("refusals", "an_sts_that_is_unreachable"),
        Reason::StsTimeout => Unit("an_sts_that_does_not_answer_is_a_timeout"),
        Reason::StsRateExhausted => Socket("refusals", "more_new_sessions_than_the_rate_to_sts_allows"),
        Reason::NoEndpoint => Socket("refusals", "a_service_without_an_endpoint"),
        Reason::SessionMismatch => Unit("a_session_or_a_clearance_of_another_identity_signs_nothing"),
        Reason::Unsignable => Unit("an_access_key_id_that_no_header_can_hold_signs_nothing"),
    }
}

/// The attributes and the body of a function at the top level of a file.
fn function<'a>(text: &'a str, name: &str) -> Option<(&'a str, &'a str)> {
    let (before, rest) = text.split_once(&format!("fn {name}("))?;
    let (body, _) = rest.split_once("\n}\n")?;
    let (_, attributes) = before.rsplit_once("\n\n")?;
    Some((attributes, body))
}

#[test]
fn every_reason_is_asserted_and_all_but_five_over_a_socket() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut units = 0;
    for &reason in Reason::ALL {
        let (file, name, word) = match test_of(reason) {
            Test::Socket(file, name) => (format!("tests/it/{file}.rs"), name, format!("\"{reason}\"")),
            Test::Unit(name) => {
                units += 1;
                ("src/error/tests/no_socket.rs".to_owned(), name, format!("Reason::{reason:?})"))
            }
        };
        let text = std::fs::read_to_string(root.join(&file)).unwrap();
        let (attributes, body) =
            function(&text, name).unwrap_or_else(|| panic!("{file} has no {name}, which asserts {reason}"));
        assert!(attributes.contains("test"), "{name} in {file} is no test");
        assert!(!attributes.contains("#[ignore"), "{name} in {file} is not run");
        assert!(body.contains(&word), "{name} in {file} does not assert {reason}");
    }
    assert!(units <= 5, "{units} reasons are asserted without a socket");
}
