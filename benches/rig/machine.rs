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

/// The cores that a proxy may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cores {
    /// One of its own.
    Proxy,
    /// Also the one for load, for which it competes with the load.
    Both,
}

/// A command that runs `program` on the core for proxies.
pub(crate) fn on_proxy_core(program: impl AsRef<OsStr>) -> Command {
    on(Cores::Proxy, program)
}

/// A command that runs `program` on these cores.
pub(crate) fn on(cores: Cores, program: impl AsRef<OsStr>) -> Command {
    let list = match cores {
        Cores::Proxy => PROXY_CORE.to_owned(),
        Cores::Both => format!("{LOAD_CORE},{PROXY_CORE}"),
    };
    let mut command = Command::new("taskset");
    command.args(["-c", &list]).arg(program);
    command
}

/// CPU time of all threads of a process, as the scheduler counts it, microseconds.
pub(crate) fn cpu(process: &Process) -> f64 {
    cpu_of_threads(process).into_iter().map(|(_, used)| used).sum()
}

/// CPU time of each worker of a gateway in the order of their numbers, microseconds.
pub(crate) fn cpu_of_workers(process: &Process) -> Vec<f64> {
    let mut workers: Vec<(usize, f64)> = cpu_of_threads(process)
        .into_iter()
        .filter_map(|(name, used)| Some((name.strip_prefix("worker-")?.parse().ok()?, used)))
        .collect();
    workers.sort_by_key(|(number, _)| *number);
    workers.into_iter().map(|(_, used)| used).collect()
}

/// The name of each thread, and its CPU time in microseconds.
fn cpu_of_threads(process: &Process) -> Vec<(String, f64)> {
    let threads = std::fs::read_dir(format!("/proc/{}/task", process.id())).unwrap();
    let of_thread = |thread: std::fs::DirEntry| -> (String, f64) {
        // A thread may end meanwhile.
        let read = |file| std::fs::read_to_string(thread.path().join(file)).unwrap_or_default();
        let used =
            read("schedstat").split_whitespace().next().and_then(|nanoseconds| nanoseconds.parse().ok());
        (read("comm").trim().to_owned(), used.unwrap_or(0.0) / 1e3)
    };
    threads.filter_map(Result::ok).map(of_thread).collect()
}
