//! The assignment of processes to cores, and the CPU time that a process has used.

use std::ffi::OsStr;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use bedrock_bed::Process;

/// The core for load, upstream and stand-ins.
const LOAD_CORE: &str = "0";
/// The core for the proxy that is measured.
const PROXY_CORE: &str = "1";

/// Set in the environment of the process that has been pinned.
const PINNED: &str = "BENCH_PINNED";

/// Starts this program again on the core for load; its threads inherit the core.
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

/// A command that runs `program` on the core for proxies.
pub(crate) fn on_proxy_core(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", PROXY_CORE]).arg(program);
    command
}

/// CPU time of all threads of a process, as the scheduler counts it, microseconds.
pub(crate) fn cpu(process: &Process) -> f64 {
    let threads = std::fs::read_dir(format!("/proc/{}/task", process.id())).unwrap();
    let of_thread = |thread: std::fs::DirEntry| -> f64 {
        let text = std::fs::read_to_string(thread.path().join("schedstat")).unwrap_or_default();
        text.split_whitespace().next().and_then(|nanoseconds| nanoseconds.parse().ok()).unwrap_or(0.0)
    };
    threads.filter_map(Result::ok).map(of_thread).sum::<f64>() / 1e3
}
