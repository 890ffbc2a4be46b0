//! Two people of two issuers never have one session name, unless the operator says that they are one person.

use super::*;

/// Issuers by name, each with its session name as TOML, that reach one role.
fn reaching_one_role(issuers: &[(&str, &str)]) -> String {
    let (head, _) = GOOD.split_once(ISSUER).unwrap();
    let tables = issuers.iter().map(|(name, session_name)| {
        format!(
            "[[issuer]]\nname = \"{name}\"\nurl = \"https://{name}.example\"\naudiences = [\"a\"]\n[issuer.session]\nname = {session_name}\n"
        )
    });
    let names: Vec<_> = issuers.iter().map(|(name, _)| name).collect();
    let role = format!("[[role]]\nissuers = {names:?}\narn = \"{ARN}\"\n");
    [head.to_owned()].into_iter().chain(tables).chain([role]).collect()
}

fn both(session_name: &str) -> String {
    reaching_one_role(&[("okta", session_name), ("okta-eu", session_name)])
}

fn collides(text: &str, words: &str) {
    fails(text, "arn =", "role[0].arn", words);
}

#[test]
fn a_separator_that_issuer_names_can_have_proves_nothing() {
    // The issuer okta with the subject eu-alice, and the issuer okta-eu with the subject alice.
    collides(
        &both("\"issuer.name + '-' + claims.sub\""),
        "the issuers okta, okta-eu reach this role, and session names of okta do not contain the issuer's name",
    );
    let problem = &parse(&both("\"issuer.name + '-' + claims.sub\"")).unwrap_err().0[0];
    assert!(problem.message.contains("`issuer.name + '-' + claims.sub`"), "{problem}");
    assert!(problem.help.contains("issuer.name + '=' + …"), "{problem}");
    assert!(problem.help.contains("shared_names = true"), "{problem}");
    let shared = both("\"issuer.name + '-' + claims.sub\"") + "shared_names = true\n";
    parse(&shared).unwrap_or_else(|problems| panic!("{problems}"));
}

#[test]
fn no_issuer_can_have_a_separator_in_its_name() {
    for separator in ['=', '+', ',', '@'] {
        for name in [format!("{separator}okta"), format!("ok{separator}ta"), format!("okta{separator}")] {
            refused(
                "name = \"okta\"",
                &format!("name = \"{name}\""),
                &name,
                "issuer[0].name",
                "cannot name an issuer",
            );
        }
    }
}

#[test]
fn names_that_prove_their_issuer() {
    for name in [
        "\"issuer.name + '=' + claims.sub\"",
        "\"issuer.name + '+u/' + claims.sub\"",
        "'issuer.name + \"@\" + claims.sub'",
        "\"issuer['name'] + ',' + claims.sub.lowerAscii() + '-' + string(claims.n)\"",
        "\"issuer.name + ('=' + claims.sub)\"",
        "\"claims.sub + '@' + issuer.name\"",
        "\"claims.sub + ('-at=' + issuer.name)\"",
        "\"issuer.name + '=' + claims.sub + '=' + issuer.name\"",
        "\"claims.a ? issuer.name : issuer.name + '=' + claims.sub\"",
        "\"has(claims.email) ? issuer.name + '=' + claims.email : issuer.name + '+' + claims.sub\"",
        "\"claims.a ? (claims.b ? issuer.name + '=b' : issuer.name) : null\"",
        "[\"issuer.name + '=' + claims.email\", \"issuer.name + '@' + claims.sub\"]",
    ] {
        let name = if name.starts_with('[') { format!("{{ from = {name} }}") } else { name.to_owned() };
        parse(&both(&name)).unwrap_or_else(|problems| panic!("{name}: {problems}"));
    }
    let constants = reaching_one_role(&[
        ("okta", "{ from = \"issuer.name + '=' + claims.sub\", default = \"okta=unknown\" }"),
        ("okta-eu", "{ from = \"issuer.name + '=' + claims.sub\", default = \"okta-eu\" }"),
        ("okta-us", "{ from = \"issuer.name + '+' + claims.sub\", default = \"okta-us=a=b\" }"),
    ]);
    parse(&constants).unwrap_or_else(|problems| panic!("{problems}"));
}

#[test]
fn names_that_do_not_prove_their_issuer() {
    for name in [
        "claims.sub",
        "issuer.name + claims.sub",
        "issuer.name + '' + '=' + claims.sub",
        "issuer.name + '.=' + claims.sub",
        "issuer.name + claims.sub + '='",
        "issuer.name + claims.separator + claims.sub",
        "'=' + issuer.name + claims.sub",
        "'u=' + issuer.name + '=' + claims.sub",
        "claims.sub + '=' + issuer.name + '=' + claims.sub",
        "claims.sub + '-' + issuer.name",
        "claims.sub + '@.' + issuer.name",
        "(issuer.name + '=' + claims.sub).lowerAscii()",
        "[issuer.name, claims.sub].join('=')",
        "issuer.name.lowerAscii() + '=' + claims.sub",
        "has(claims.email) ? issuer.name + '=' + claims.email : claims.sub",
        "has(claims.email) ? issuer.name + '=' + claims.email : claims.sub + '=' + issuer.name",
        "claims.a ? 'alice' : 'bob'",
        "claims.issuer.name + '=' + claims.sub",
        "'issuer.name=' + claims.sub",
        "claims.list.map(issuer, issuer.name + '=' + claims.sub)[0]",
    ] {
        collides(&both(&format!("\"{name}\"")), "names of okta do not contain the issuer's name");
    }
    for name in [
        "{ from = [\"issuer.name + '=' + claims.email\", \"claims.sub\"] }",
        "{ from = [\"issuer.name + '=' + claims.email\", \"claims.sub + '@' + issuer.name\"] }",
        "{ from = \"issuer.name + '=' + claims.email\", default = \"unknown\" }",
        "{ from = \"issuer.name + '=' + claims.email\", default = \"okta-unknown\" }",
        "{ from = \"claims.email + '@' + issuer.name\", default = \"okta=unknown\" }",
        "{ from = \"issuer.name + '=' + claims.email\", default = \"batch=okta=batch\" }",
    ] {
        let other = "\"issuer.name + '=' + claims.sub + '=' + issuer.name\"";
        let text = reaching_one_role(&[("okta", name), ("okta-eu", other)]);
        collides(&text, "names of okta do not contain the issuer's name");
    }
}

#[test]
fn the_address_of_an_issuer_proves_nothing() {
    for name in ["claims.iss + '=' + claims.sub", "claims['iss'] + claims.sub"] {
        collides(&both(&format!("\"{name}\"")), "one address can begin another");
    }
}

#[test]
fn names_that_begin_with_the_issuer_and_names_that_end_with_it_can_be_equal() {
    let (at_start, at_end) = ("\"issuer.name + '=' + claims.sub\"", "\"claims.sub + '@' + issuer.name\"");
    let mixed = reaching_one_role(&[("okta", at_start), ("entra", at_end)]);
    collides(&mixed, "session names of okta begin with the issuer's name and those of entra end with it");
    // Names of the third hold it at both ends, which changes nothing.
    let third = ("third", "\"issuer.name + '=' + claims.sub + '@' + issuer.name\"");
    let mixed = reaching_one_role(&[third, ("okta", at_start), ("entra", at_end)]);
    collides(&mixed, "session names of okta begin with the issuer's name and those of entra end with it");
    let alike =
        reaching_one_role(&[third, ("okta", at_start), ("entra", "\"issuer.name + ',' + claims.x\"")]);
    parse(&alike).unwrap_or_else(|problems| panic!("{problems}"));
}
