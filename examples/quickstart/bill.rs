//! The bill: the rows of the stand-in's Cost and Usage Report, summed up per person, model and session tag.

use std::collections::{BTreeMap, BTreeSet};

use bedrock_standin::bill::{Bill, Row};

use crate::paint::{FAINT, NAME, STRONG, elided, heading};

/// The width of the first column, characters.
const FIRST: usize = 46;

/// Tokens and their cost.
#[derive(Debug, Default, Clone, Copy)]
struct Sum {
    input: f64,
    output: f64,
    /// US dollars.
    cost: f64,
}

impl Sum {
    fn add(&mut self, row: &Row) {
        // The report has thousands of tokens.
        let tokens = row.line_item_usage_amount * 1000.0;
        if row.line_item_usage_type.contains("output") {
            self.output += tokens;
        } else {
            self.input += tokens;
        }
        self.cost += row.line_item_unblended_cost;
    }

    fn columns(self) -> String {
        format!("{:>9.0}{:>9.0}{:>14.6}", self.input, self.output, self.cost)
    }
}

/// A person on the bill, with a sum for each model.
#[derive(Debug, Default)]
struct Person {
    tags: BTreeSet<String>,
    models: BTreeMap<String, Sum>,
    all: Sum,
}

/// Prints the bill in eighty columns.
pub(crate) fn print(bill: &Bill) {
    let rows = bill.rows();
    heading("The bill, summed up from the Cost and Usage Report (its prices are invented)");
    if rows.is_empty() {
        println!("  nothing: no call has reached a model");
        return;
    }
    let accounts: BTreeSet<_> = rows.iter().map(|row| &row.line_item_usage_account_id).collect();
    let (mut people, mut tags) = (BTreeMap::<_, Person>::new(), BTreeMap::<_, BTreeMap<_, Sum>>::new());
    let mut total = Sum::default();
    for row in &rows {
        let person = people.entry(short(&row.line_item_iam_principal, accounts.len() > 1)).or_default();
        let model = row.product.get("model").cloned().unwrap_or_default();
        person.models.entry(model).or_default().add(row);
        person.all.add(row);
        total.add(row);
        for (tag, value) in &row.tags {
            person.tags.insert(format!("{}={value}", tag.trim_start_matches("iamPrincipal/")));
            tags.entry(tag).or_default().entry(value).or_default().add(row);
        }
    }
    anstream::println!(
        "  {FAINT}{:<FIRST$}{:>9}{:>9}{:>14}{FAINT:#}",
        "line_item_iam_principal",
        "tokens in",
        "out",
        "USD"
    );
    for (name, person) in people {
        let tags: Vec<_> = person.tags.into_iter().collect();
        let tags = elided(&tags.join(" "), FIRST.saturating_sub(name.chars().count() + 2));
        let pad = FIRST.saturating_sub(name.chars().count());
        anstream::println!("  {NAME}{name}{NAME:#}{FAINT}{tags:>pad$}{FAINT:#}{}", person.all.columns());
        for (model, sum) in person.models {
            let model = format!("  {model}");
            anstream::println!("  {FAINT}{model:<FIRST$}{}{FAINT:#}", sum.columns());
        }
    }
    for (tag, values) in tags {
        anstream::println!("  {FAINT}{tag}{FAINT:#}");
        for (value, sum) in values {
            let value = elided(value, FIRST);
            anstream::println!("  {value:<FIRST$}{}", sum.columns());
        }
    }
    anstream::println!("  {STRONG}{:<FIRST$}{}{STRONG:#}", "total", total.columns());
}

/// `Role/session` of an assumed role's ARN, with the account in front if the bill has several.
fn short(principal: &str, with_account: bool) -> String {
    let mut parts = principal.splitn(6, ':');
    let account = parts.nth(4).unwrap_or_default();
    let name = parts.next().unwrap_or(principal).trim_start_matches("assumed-role/");
    elided(&if with_account { format!("{account} {name}") } else { name.to_owned() }, FIRST)
}
