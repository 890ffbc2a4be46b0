//! Whether STS can be reached, and whether this machine's clock agrees with AWS's.

use std::time::{Duration, SystemTime};

use super::Check;
use super::signed_call::{CallError, HttpClient};
use crate::clock;
use crate::config::Aws;
use crate::sessions::StsSettings;

/// AWS rejects a signature whose time is more than five minutes off. The SDKs correct a clock from four minutes on.
// Assumption A21.
const REJECTED: Duration = Duration::from_mins(4);
/// A clock that is synchronised is off by less than this.
const SYNCHRONISED: Duration = Duration::from_secs(30);

/// Compares the clocks by the `Date` of an answer of STS. `false`: STS cannot be reached.
pub(super) async fn check(aws: &Aws, settings: &StsSettings, note: &mut (dyn FnMut(Check) + Send)) -> bool {
    let name = "clock";
    let url = address(settings);
    let date = match HttpClient::new(&settings.proxy, &aws.ca_files()) {
        Ok(client) => client.date(&url).await,
        Err(fault) => Err(CallError::NoAnswer(fault)),
    };
    match date {
        Err(error) => {
            note(Check::fail(
                "STS",
                error.to_string(),
                "check the network, the proxy, aws.region and aws.endpoints; in a private network, add a VPC \
                 endpoint for sts",
            ));
            false
        }
        Ok(None) => {
            note(Check::skip(name, "not compared: the answer of STS has no Date"));
            true
        }
        Ok(Some(theirs)) => {
            note(compared(name, clock::now(), theirs));
            true
        }
    }
}

fn compared(name: &str, ours: SystemTime, theirs: SystemTime) -> Check {
    let (apart, direction) = match ours.duration_since(theirs) {
        Ok(ahead) => (ahead, "ahead of"),
        Err(behind) => (behind.duration(), "behind"),
    };
    let message = format!("this machine is {} s {direction} AWS", apart.as_secs());
    let fix = "synchronise the clock (NTP); on AWS, the Amazon Time Sync Service at 169.254.169.123";
    if apart >= REJECTED {
        Check::fail(name, format!("{message}, and AWS rejects signatures more than five minutes off"), fix)
    } else if apart >= SYNCHRONISED {
        Check::warn(name, message, fix)
    } else {
        Check::ok(name, "this machine agrees with AWS")
    }
}

/// The address of STS in a region (AWS General Reference, "AWS Security Token Service endpoints and quotas").
fn address(settings: &StsSettings) -> String {
    if let Some(url) = &settings.endpoint {
        return url.to_string();
    }
    let region = &settings.region;
    let host = match (settings.fips, settings.dual_stack) {
        (true, _) => format!("sts-fips.{region}"),
        (false, _) => format!("sts.{region}"),
    };
    let domain = match (region.starts_with("cn-"), settings.dual_stack) {
        (true, false) => "amazonaws.com.cn",
        (true, true) => "api.amazonwebservices.com.cn",
        (false, false) => "amazonaws.com",
        (false, true) => "api.aws",
    };
    format!("https://{host}.{domain}/")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Status;
    use crate::proxy::Proxy;

    #[test]
    fn a_clock_that_aws_would_reject_fails() {
        let theirs = SystemTime::UNIX_EPOCH + Duration::from_hours(1);
        let at = |seconds: u64| theirs + Duration::from_secs(seconds);
        for (ours, status, words) in [
            (at(2), Status::Ok, "agrees"),
            (theirs - Duration::from_secs(90), Status::Warn, "90 s behind"),
            (at(600), Status::Fail, "600 s ahead"),
        ] {
            let check = compared("clock", ours, theirs);
            assert_eq!(check.status, status, "{check:?}");
            assert!(check.message.contains(words), "{check:?}");
        }
    }

    #[test]
    fn sts_has_an_address_in_every_partition() {
        let at = |region: &str, fips: bool, dual_stack: bool| {
            address(&StsSettings {
                region: region.to_owned(),
                endpoint: None,
                ca: None,
                fips,
                dual_stack,
                timeout: Duration::from_secs(1),
                proxy: Proxy::default(),
            })
        };
        assert_eq!(at("us-east-1", false, false), "https://sts.us-east-1.amazonaws.com/");
        assert_eq!(at("us-east-1", true, false), "https://sts-fips.us-east-1.amazonaws.com/");
        assert_eq!(at("eu-west-1", false, true), "https://sts.eu-west-1.api.aws/");
        assert_eq!(at("cn-north-1", false, false), "https://sts.cn-north-1.amazonaws.com.cn/");
    }
}
