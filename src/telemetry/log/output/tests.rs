//! Files that are rotated, and disks that are full.

use std::os::unix::fs::{PermissionsExt as _, symlink};

use super::*;

fn write(output: &mut Output, text: &str) -> (bool, String) {
    let mut lines = text.as_bytes().to_vec();
    let well = output.write(&mut lines);
    (well, String::from_utf8(lines).unwrap())
}

#[test]
fn only_the_gateways_user_may_read_a_new_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    drop(Output::file(&path, Torn::default()).unwrap());
    assert_eq!(std::fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn after_a_rotation_lines_go_to_the_new_file() {
    let folder = tempfile::tempdir().unwrap();
    let (path, moved) = (folder.path().join("log"), folder.path().join("log.1"));
    let mut output = Output::file(&path, Torn::default()).unwrap();
    assert!(write(&mut output, "1\n").0);
    std::fs::rename(&path, &moved).unwrap();
    assert!(write(&mut output, "2\n").0);
    output.health().rotate();
    assert!(write(&mut output, "3\n").0);
    let read = |path| std::fs::read_to_string(path).unwrap();
    assert_eq!((read(&moved), read(&path)), ("1\n2\n".to_owned(), "3\n".to_owned()));
}

#[test]
fn a_file_that_cannot_be_opened_again_is_reported_and_the_open_one_still_used() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("logs/log");
    let moved = folder.path().join("moved");
    std::fs::create_dir(path.parent().unwrap()).unwrap();
    let mut output = Output::file(&path, Torn::default()).unwrap();
    std::fs::rename(path.parent().unwrap(), &moved).unwrap();
    output.health().rotate();
    assert_eq!(write(&mut output, "1\n"), (false, String::new()));
    assert!(output.health().failure().unwrap().contains("logs/log: No such file"));
    assert_eq!(std::fs::read_to_string(moved.join("log")).unwrap(), "1\n");
    std::fs::create_dir(path.parent().unwrap()).unwrap();
    assert!(write(&mut output, "2\n").0);
    assert_eq!(output.health().failure(), None);
    assert_eq!(std::fs::read_to_string(path).unwrap(), "2\n");
}

#[test]
fn lines_that_do_not_fit_on_the_disk_are_written_once_they_do() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    symlink("/dev/full", &path).unwrap();
    let mut output = Output::file(&path, Torn::default()).unwrap();
    assert_eq!(write(&mut output, "1\n"), (false, "1\n".to_owned()));
    assert!(output.health().failure().unwrap().contains("No space left on device"));
    std::fs::remove_file(&path).unwrap();
    assert!(write(&mut output, "1\n2\n").0);
    assert_eq!((output.health().failure(), output.health().lost()), (None, 0));
    assert_eq!(std::fs::read_to_string(path).unwrap(), "1\n2\n");
}

/// A disk that has room for some bytes.
#[derive(Clone)]
struct Disk(Arc<Mutex<(usize, Vec<u8>)>>);

impl Write for Disk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let (room, content) = &mut *self.0.lock();
        let fits = bytes.len().min(*room);
        *room -= fits;
        content.extend_from_slice(&bytes[..fits]);
        if fits == 0 { Err(ErrorKind::StorageFull.into()) } else { Ok(fits) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_line_that_fits_in_part_is_lost_and_spoils_no_other() {
    let disk = Disk(Arc::new(Mutex::new((6, Vec::new()))));
    let mut output = Output::stream(Box::new(disk.clone()));
    assert_eq!(write(&mut output, "one\ntwo\nthree\n"), (false, "three\n".to_owned()));
    assert_eq!(output.health().lost(), 1);
    disk.0.lock().0 = 100;
    assert!(write(&mut output, "three\n").0);
    assert_eq!(String::from_utf8(disk.0.lock().1.clone()).unwrap(), "one\ntw\nthree\n");
}

#[test]
fn a_torn_line_of_one_log_does_not_spoil_the_other_log_in_the_file() {
    let (disk, torn) = (Disk(Arc::new(Mutex::new((6, Vec::new())))), Torn::default());
    let [mut access, mut process] =
        [(); 2].map(|()| Output { torn: Arc::clone(&torn), ..Output::stream(Box::new(disk.clone())) });
    assert!(!write(&mut access, "one\ntwo\n").0);
    disk.0.lock().0 = 100;
    assert!(write(&mut process, "three\n").0);
    assert!(write(&mut access, "four\n").0);
    assert_eq!(String::from_utf8(disk.0.lock().1.clone()).unwrap(), "one\ntw\nthree\nfour\n");
}

#[test]
fn lost_lines_are_reported_once_and_when_the_log_can_be_written() {
    let disk = Disk(Arc::new(Mutex::new((1, Vec::new()))));
    let mut output = Output::stream(Box::new(disk.clone()));
    assert!(!write(&mut output, "torn\n").0);
    output.health().lose(2);
    assert_eq!(output.health().newly_lost(), 0);
    disk.0.lock().0 = 100;
    assert!(write(&mut output, "line\n").0);
    assert_eq!((output.health().newly_lost(), output.health().newly_lost()), (3, 0));
}

fn pipe(path: &Path) {
    assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success());
}

#[test]
fn a_named_pipe_is_rejected_at_once_with_and_without_a_reader() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    pipe(&path);
    let rejected = || Output::file(&path, Torn::default()).err().map(|error| error.to_string());
    let message = format!(
        "cannot open the log file {} for appending: it is a named pipe, and not a regular file",
        path.display()
    );
    assert_eq!(rejected(), Some(message.clone()));
    let _reader = OpenOptions::new().read(true).write(true).open(&path).unwrap();
    assert_eq!(rejected(), Some(message));
}

#[test]
fn a_named_pipe_in_the_place_of_a_rotated_file_does_not_stop_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let (path, moved) = (folder.path().join("log"), folder.path().join("log.1"));
    let mut output = Output::file(&path, Torn::default()).unwrap();
    std::fs::rename(&path, &moved).unwrap();
    pipe(&path);
    output.health().rotate();
    assert_eq!(write(&mut output, "1\n"), (false, String::new()));
    assert!(output.health().failure().unwrap().ends_with("log: it is a named pipe, and not a regular file"));
    assert_eq!(std::fs::read_to_string(moved).unwrap(), "1\n");
}

/// The pipe behind a stream of this process has a reader, and the process writes to it anyway.
#[test]
fn only_a_stream_of_this_process_may_be_a_pipe() {
    let (_reader, writer) = io::pipe().unwrap();
    let of = |file: &File| file.metadata().unwrap();
    let writer = File::from(std::os::fd::OwnedFd::from(writer));
    assert_eq!(unfit(&of(&writer)), Some("a named pipe"));
    assert!(is_opened_as(&of(&writer), &writer));
    assert!(!is_opened_as(&of(&writer), tempfile::tempfile().unwrap()));
}

#[test]
fn a_terminal_or_another_character_device_is_a_log() {
    let mut output = Output::file(Path::new("/dev/null"), Torn::default()).unwrap();
    assert_eq!(write(&mut output, "1\n"), (true, String::new()));
}
