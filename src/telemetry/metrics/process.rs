//! The metrics of the process, with the names that all Prometheus clients use. Linux shows them in `/proc`; on other
//! systems they are absent.
//!
//! This is hand-written: the crates for it bring a parser of all of `/proc`.

use std::fs;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

/// The length of a tick of `/proc/self/stat`: Linux shows a hundredth of a second to programs on every machine that the
/// gateway runs on (`proc_pid_stat(5)`, `USER_HZ`).
const TICK: Duration = Duration::from_millis(10);

/// Name, help and reader of a gauge.
type Row = (&'static str, &'static str, fn() -> Option<u64>);

/// Reads the metrics of this process at each scrape.
#[derive(Debug)]
pub(super) struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        if let Some(spent) = cpu_time() {
            let metric = ConstCounter::new(spent.as_secs_f64());
            let help = "User and system CPU time of the process, in seconds";
            metric.encode(encoder.encode_descriptor(
                "process_cpu_seconds",
                help,
                None,
                metric.metric_type(),
            )?)?;
        }
        let gauges: [Row; 4] = [
            ("process_resident_memory_bytes", "Resident memory of the process, in bytes", resident_bytes),
            ("process_open_fds", "Open file descriptors of the process", open_files),
            ("process_max_fds", "Most file descriptors that the process may open", most_files),
            ("process_start_time_seconds", "When the process started, in seconds since 1970", started),
        ];
        for (name, help, read) in gauges {
            if let Some(value) = read() {
                let metric = ConstGauge::new(value);
                metric.encode(encoder.encode_descriptor(name, help, None, metric.metric_type())?)?;
            }
        }
        Ok(())
    }
}

/// A field of `/proc/self/stat` behind the name of the program, which may contain spaces. The numbers are those of the manual.
fn stat(field: usize) -> Option<u64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let (_, behind) = stat.rsplit_once(')')?;
    behind.split_ascii_whitespace().nth(field - 3)?.parse().ok()
}

fn ticks(count: u64) -> Duration {
    TICK.saturating_mul(u32::try_from(count).unwrap_or(u32::MAX))
}

fn cpu_time() -> Option<Duration> {
    Some(ticks(stat(14)? + stat(15)?))
}

fn resident_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let kibibytes = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    kibibytes.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|size| size << 10)
}

fn open_files() -> Option<u64> {
    // Without the one that lists them.
    Some(fs::read_dir("/proc/self/fd").ok()?.count().saturating_sub(1) as u64)
}

fn most_files() -> Option<u64> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let soft = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    soft.split_ascii_whitespace().next()?.parse().ok()
}

fn started() -> Option<u64> {
    let stat_of_system = fs::read_to_string("/proc/stat").ok()?;
    let boot: u64 =
        stat_of_system.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
    Some(boot + stat(22)? / 100)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn linux_shows_all_of_them() {
        let resident = resident_bytes().unwrap();
        assert!((1 << 20..1 << 40).contains(&resident), "{resident}");
        assert!(cpu_time().is_some());
        assert!(open_files().unwrap() >= 3);
        assert!(most_files().unwrap() >= open_files().unwrap());
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
        let started = started().unwrap();
        assert!((now - 24 * 3600..=now + 2).contains(&started), "{started} is not about {now}");
    }
}
