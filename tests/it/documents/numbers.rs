//! Numbers in documents are those of the code.
//!
//! A comment after a number names its constant: `<!-- = FILE:NAME, FILE:NAME + FILE:NAME -->`. The file is below `src`.
//! The name is that of a constant, or of a field of an `impl Default`.
//!
//! For a default of a library, the comment names the library's version: `<!-- = hyper 1.12.0 = 100 -->`. The test fails
//! with another version, which reminds the author to check the default again.

use std::path::Path;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// A number as the code has it. Times are in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Number {
    pub(super) value: u128,
    is_time: bool,
}

impl Number {
    /// All texts that a document may show.
    fn texts(self) -> Vec<String> {
        let units: &[(u128, &str, &str)] = if self.is_time {
            &[
                (1, "ms", "millisecond"),
                (1_000, "s", "second"),
                (60_000, "min", "minute"),
                (3_600_000, "h", "hour"),
            ]
        } else {
            &[(1, "", ""), (1 << 10, "KiB", ""), (1 << 20, "MiB", "")]
        };
        let mut texts = Vec::new();
        for (size, unit, long) in units {
            if self.value == 0 || !self.value.is_multiple_of(*size) {
                continue;
            }
            let count = self.value / size;
            texts.push(format!("{} {unit}", with_commas(count)).trim().to_owned());
            if let Some(word) = usize::try_from(count).ok().and_then(|count| WORDS.get(count)) {
                match (long.is_empty(), count) {
                    (true, _) if unit.is_empty() => texts.push((*word).to_owned()),
                    (true, _) => {}
                    (false, 1) => {
                        texts.extend(["a", "an", "every", "one"].map(|one| format!("{one} {long}")));
                    }
                    (false, _) => texts.push(format!("{word} {long}s")),
                }
            }
        }
        texts
    }
}

const WORDS: [&str; 13] = [
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
];

fn with_commas(number: u128) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// An expression of Rust, with the parts that constants use: numbers, other constants of the file, `Duration::from_…`,
/// products, quotients, sums and shifts.
struct Expression<'a> {
    rest: &'a str,
    file: &'a str,
}

impl Expression<'_> {
    fn value(text: &str, file: &str) -> Option<Number> {
        let mut expression = Expression { rest: text.trim(), file };
        let value = expression.shifted()?;
        expression.rest.trim().is_empty().then_some(value)
    }

    fn take(&mut self, token: &str) -> bool {
        let rest = self.rest.trim_start().strip_prefix(token);
        rest.inspect(|rest| self.rest = rest).is_some()
    }

    fn shifted(&mut self) -> Option<Number> {
        let mut left = self.sum()?;
        while self.take("<<") {
            left.value <<= self.sum()?.value;
        }
        Some(left)
    }

    fn sum(&mut self) -> Option<Number> {
        let mut left = self.product()?;
        while self.take("+") {
            left.value += self.product()?.value;
        }
        Some(left)
    }

    fn product(&mut self) -> Option<Number> {
        let mut left = self.term()?;
        loop {
            if self.take("*") {
                let right = self.term()?;
                left = Number { value: left.value * right.value, is_time: left.is_time || right.is_time };
            } else if self.take("/") {
                left.value /= self.term()?.value;
            } else {
                return Some(left);
            }
        }
    }

    fn term(&mut self) -> Option<Number> {
        let units = [("millis", 1), ("secs", 1_000), ("mins", 60_000), ("hours", 3_600_000)];
        for (unit, milliseconds) in units {
            if self.take(&format!("Duration::from_{unit}(")) {
                let count = self.shifted()?.value;
                return self.take(")").then_some(Number { value: count * milliseconds, is_time: true });
            }
        }
        let rest = self.rest.trim_start();
        let length = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
        let (word, rest) = rest.split_at(length);
        self.rest = rest;
        let digits = word.replace('_', "");
        match digits.parse() {
            Ok(value) => Some(Number { value, is_time: false }),
            Err(_) if word.is_empty() => None,
            Err(_) => constant(self.file, word),
        }
    }
}

/// The value of a constant of a file below `src`, or of a field in the file's first `impl Default`.
pub(super) fn constant(file: &str, name: &str) -> Option<Number> {
    let text = std::fs::read_to_string(Path::new(ROOT).join("src").join(file)).ok()?;
    let declared = format!("const {name}:");
    if let Some((_, rest)) = text.split_once(&declared) {
        let (_, rest) = rest.split_once('=')?;
        let (expression, _) = rest.split_once(';')?;
        return Expression::value(expression, file);
    }
    let (_, text) = text.split_once("\nimpl Default for ")?;
    let field = format!("{name}: ");
    let mut values = text.match_indices(&field).filter_map(|(at, _)| {
        let rest = &text[at + field.len()..];
        let end = rest.find([',', '}', '\n'])?;
        Expression::value(&rest[..end], "")
    });
    values.next()
}

/// The texts that a comment after a number allows. It names constants, or a library with its version and default.
fn reference(text: &str) -> Result<Vec<String>, String> {
    if let Some((library, number)) = text.split_once(" = ") {
        let (name, version) = library.split_once(' ').ok_or_else(|| format!("{text}: name a version"))?;
        let lock = std::fs::read_to_string(Path::new(ROOT).join("Cargo.lock")).unwrap();
        let locked = format!("name = \"{name}\"\nversion = \"{version}\"\n");
        if !lock.contains(&locked) {
            return Err(format!("{text}: this is not the version in use; look the default up again"));
        }
        return Ok(vec![number.to_owned()]);
    }
    let mut result: Option<Number> = None;
    let mut operator = "";
    for word in text.split(' ') {
        if ["+", "*"].contains(&word) {
            operator = word;
            continue;
        }
        let (file, name) = word.split_once(':').ok_or_else(|| format!("{text}: write FILE:NAME"))?;
        let value = constant(file, name).ok_or_else(|| format!("src/{file} has no number {name}"))?;
        result = Some(match (result, operator) {
            (None, _) => value,
            (Some(left), "+") => Number { value: left.value + value.value, ..left },
            (Some(left), _) => {
                Number { value: left.value * value.value, is_time: left.is_time || value.is_time }
            }
        });
    }
    Ok(result.map(Number::texts).unwrap_or_default())
}

/// Whether `text` has `wanted` as whole words.
fn shows(text: &str, wanted: &str) -> bool {
    let inside = |c: char| c.is_alphanumeric() || c == ',' || c == '.';
    text.match_indices(wanted).any(|(at, _)| {
        let (before, behind) = (&text[..at], &text[at + wanted.len()..]);
        let mut next = behind.chars();
        let ends = match next.next() {
            Some(',' | '.') => !next.next().is_some_and(char::is_numeric),
            Some(c) => !c.is_alphanumeric(),
            None => true,
        };
        !before.ends_with(inside) && ends
    })
}

/// The numbers in a table's cells, with their units, outside of code.
fn numbers(cells: &str) -> Vec<String> {
    let plain: String = cells.split('`').step_by(2).collect::<Vec<_>>().join(" ");
    let words: Vec<&str> =
        plain.split_whitespace().map(|word| word.trim_matches([',', ';', ':', '.', '(', ')'])).collect();
    let numbers = words.iter().enumerate().filter(|(_, word)| word.starts_with(|c: char| c.is_ascii_digit()));
    let unit = |index: usize| {
        words.get(index + 1).filter(|unit| ["ms", "s", "min", "h", "KiB", "MiB"].contains(unit))
    };
    numbers
        .map(|(index, word)| unit(index).map_or_else(|| (*word).to_owned(), |unit| format!("{word} {unit}")))
        .collect()
}

/// Every problem of a document's text: comments that contradict the code, and numbers in the limits table that have
/// no comment.
fn problems(name: &str, document: &str) -> Vec<String> {
    let mut problems = Vec::new();
    let mut block = String::new();
    let mut in_limits = false;
    for line in document.lines() {
        let begins = line.starts_with('|') || line.starts_with("- ") || line.starts_with('#');
        if line.trim().is_empty() || begins {
            problems.extend(problems_of_block(name, &block, in_limits));
            block.clear();
        }
        if line.starts_with('#') {
            // Not the table `[limits]` of the reference, which is generated.
            in_limits = line.contains("limits") && !line.contains('[');
        }
        block.push_str(line);
        block.push(' ');
    }
    problems.extend(problems_of_block(name, &block, in_limits));
    problems
}

fn problems_of_block(name: &str, block: &str, in_limits: bool) -> Vec<String> {
    let (mut problems, mut covered) = (Vec::new(), Vec::new());
    let (mut shown, mut rest) = (String::new(), block);
    let mut references = Vec::new();
    while let Some((before, comment)) = rest.split_once("<!-- = ") {
        let Some((comment, behind)) = comment.split_once(" -->") else { break };
        shown.push_str(before);
        references.extend(comment.split(", "));
        rest = behind;
    }
    shown.push_str(rest);
    for text in references {
        match reference(text) {
            Ok(texts) if texts.iter().any(|text| shows(&shown, text)) => covered.extend(texts),
            Ok(texts) => problems.push(format!("{name}: {text} is {texts:?}, which is not in: {shown}")),
            Err(problem) => problems.push(format!("{name}: {problem}")),
        }
    }
    let cells: Vec<&str> = shown.split(" | ").collect();
    if let ([what, limit, ..], true) = (cells.as_slice(), in_limits && shown.starts_with("| ")) {
        let uncovered =
            numbers(&format!("{what} {limit}")).into_iter().filter(|number| !covered.contains(number));
        problems
            .extend(uncovered.map(|number| format!("{name}: no constant is named for {number} in: {shown}")));
    }
    problems
}

fn documents() -> Vec<(String, String)> {
    let mut paths = vec!["README.md".to_owned(), "SECURITY.md".to_owned()];
    let folder = std::fs::read_dir(Path::new(ROOT).join("docs")).unwrap();
    let names = folder.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    paths.extend(
        names
            .filter(|name| Path::new(name).extension().is_some_and(|end| end == "md"))
            .map(|name| format!("docs/{name}")),
    );
    let read = |path: String| {
        let text = std::fs::read_to_string(Path::new(ROOT).join(&path)).unwrap();
        (path, text)
    };
    paths.into_iter().map(read).collect()
}

#[test]
fn numbers_in_documents_are_those_of_the_code() {
    let mut count = 0;
    for (name, text) in documents() {
        count += text.matches("<!-- = ").count();
        assert_eq!(problems(&name, &text), Vec::<String>::new());
    }
    assert!(count > 50, "{count}");
}

/// Phrases of documents that have no such comments, because they would disturb the reader. A paragraph that has a
/// phrase has to show the constant.
const PHRASES: &[(&[&str], &str, &str)] = &[
    (&["waits", "for the first byte"], "endpoint.rs", "FIRST_BYTE"),
    (&["waits", "between bytes"], "endpoint.rs", "STREAM_IDLE"),
    (&["at most", "`max_sts_rate`"], "config.rs", "MAX_STS_RATE"),
];

/// The paragraphs of the documents for users that have a phrase's words, and whether they show its number.
fn phrases() -> Vec<(usize, bool, String)> {
    let mut found = Vec::new();
    for (name, text) in documents() {
        if !["README.md", "docs/CLIENTS.md", "docs/DEPLOYING.md"].contains(&name.as_str()) {
            continue;
        }
        for paragraph in text.replace("\n- ", "\n\n- ").split("\n\n") {
            let paragraph = paragraph.split_whitespace().collect::<Vec<_>>().join(" ");
            for (index, (words, file, constant_name)) in PHRASES.iter().enumerate() {
                if !paragraph.starts_with('|') && words.iter().all(|word| paragraph.contains(word)) {
                    let number = constant(file, constant_name).unwrap();
                    let is_right = number.texts().iter().any(|text| shows(&paragraph, text));
                    found.push((
                        index,
                        is_right,
                        format!("{name}: {constant_name} is {number:?}: {paragraph}"),
                    ));
                }
            }
        }
    }
    found
}

#[test]
fn numbers_in_the_documents_for_users_are_those_of_the_code() {
    let found = phrases();
    for (_, is_right, text) in &found {
        assert!(is_right, "{text}");
    }
    for (index, (words, _, name)) in PHRASES.iter().enumerate() {
        let says = found.iter().any(|(phrase, _, _)| *phrase == index);
        assert!(
            says,
            "no document says {words:?} any more: change PHRASES, so that the test still compares {name}"
        );
    }
}

#[test]
fn constants_are_read_from_the_code() {
    let number = |value| Some(Number { value, is_time: false });
    let time = |seconds: u128| Some(Number { value: seconds * 1_000, is_time: true });
    for (text, value) in [
        ("4_096", number(4_096)),
        ("32 << 20", number(32 << 20)),
        ("6 * 2048 + 2", number(12_290)),
        ("512 * 1024 * 1024 / 4", number(128 << 20)),
        ("Duration::from_secs(5 * 60)", time(300)),
        ("Duration::from_mins(1)", time(60)),
        ("u64::MAX", None),
        ("Duration", None),
    ] {
        assert_eq!(Expression::value(text, "lib.rs"), value, "{text}");
    }
    assert_eq!(constant("limits/memory.rs", "PRINCIPAL_BYTES"), number(128 << 20));
    assert_eq!(constant("server/activity.rs", "idle"), time(75));
}

#[test]
fn a_number_that_is_not_the_codes_is_found() {
    let table = |row: &str| problems("d", &format!("# limits\n\n{row}\n")).len();
    assert_eq!(table("| requests | 4,096 | refused<!-- = limits/requests.rs:IN_FLIGHT --> |"), 0);
    assert_eq!(table("| requests | 4,097 | refused<!-- = limits/requests.rs:IN_FLIGHT --> |"), 2);
    assert_eq!(table("| requests | 4,096, 5 s | refused<!-- = limits/requests.rs:IN_FLIGHT --> |"), 1);
    assert_eq!(table("| requests | 4,096 | refused |"), 1);
    assert_eq!(table("| requests | 4,096 | refused<!-- = limits/requests.rs:NO_SUCH --> |"), 2);
    assert_eq!(table("| heads | 100 | refused<!-- = hyper 0.0.1 = 100 --> |"), 2);
    assert_eq!(
        problems("d", "It waits\nan hour<!-- = endpoint.rs:FIRST_BYTE --> for it."),
        Vec::<String>::new()
    );
    assert_eq!(problems("d", "It waits\nten hours<!-- = endpoint.rs:FIRST_BYTE --> for it.").len(), 1);
}
