//! Which core runs what, and what the system says that a process has used.

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command};

/// Load, upstream and stand-ins.
const LOAD_CORE: &str = "0";
/// The proxy that is measured.
const PROXY_CORE: &str = "1";

/// Set in the environment of the process that has been pinned.
const PINNED: &str = "BENCH_PINNED";

/// Starts this program over again on the core for load; threads inherit it.
pub(crate) fn pin_this_process() {
    if std::env::var_os(PINNED).is_some() {
        return;
    }
    let program = std::env::current_exe().unwrap();
    let error = Command::new("taskset")
        .args(["-c", LOAD_CORE])
        .arg(program)
        .args(std::env::args_os().skip(1))
        .env(PINNED, "1")
        .exec();
    panic!("taskset (util-linux) is needed to keep load and proxy on cores of their own: {error}");
}

/// `program` on the core for proxies.
pub(crate) fn on_proxy_core(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", PROXY_CORE]).arg(program);
    command
}

/// A process that ends with this value.
#[derive(Debug)]
pub(crate) struct Process(Child);

impl Process {
    pub(crate) fn spawn(command: &mut Command) -> Self {
        Self(command.spawn().unwrap_or_else(|error| panic!("cannot run {command:?}: {error}")))
    }

    /// CPU time of all its threads, as the scheduler counts it, microseconds.
    pub(crate) fn cpu(&self) -> f64 {
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.0.id())).unwrap();
        let of_thread = |thread: std::fs::DirEntry| -> f64 {
            let text = std::fs::read_to_string(thread.path().join("schedstat")).unwrap_or_default();
            text.split_whitespace().next().and_then(|nanoseconds| nanoseconds.parse().ok()).unwrap_or(0.0)
        };
        threads.filter_map(Result::ok).map(of_thread).sum::<f64>() / 1e3
    }

    /// Resident memory, bytes.
    pub(crate) fn resident(&self) -> u64 {
        resident(&self.0.id().to_string())
    }

    /// Asks it to end, and waits until it has.
    pub(crate) fn terminate(mut self) {
        let asked = Command::new("kill").arg(self.0.id().to_string()).status().unwrap();
        assert!(asked.success() && self.0.wait().unwrap().success());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ended = self.0.kill().is_ok() && self.0.wait().is_ok();
    }
}

/// Resident memory of a process (`self` is a process too), bytes.
pub(crate) fn resident(process: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let kibibytes: u64 = line.trim().trim_end_matches(" kB").parse().unwrap();
    kibibytes * 1024
}

/// An address that was free a moment ago.
pub(crate) fn free_address() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}
