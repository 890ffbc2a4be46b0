//! Numbers that are held as an `f64`: they can be compared, but never become a name.

use super::*;

/// Different numbers of tokens become the same `f64`, so an `f64` cannot distinguish callers.
#[test]
fn a_number_that_is_not_a_64_bit_integer_never_becomes_text() {
    for number in
        ["100000000000000000001", "18446744073709551616", "-9223372036854775809", "7.5", "7.0", "-0", "1e3"]
    {
        let claims: serde_json::Value =
            serde_json::from_str(&format!("{{\"n\":{number},\"t\":\"x\"}}")).unwrap();
        for text in [
            "string(claims.n)",
            "string(dyn(claims.n))",
            "string(double(claims.n))",
            "string(int(claims.n))",
            "string(uint(claims.n))",
            "string(-claims.n)",
            "string(claims.n + 1.0)",
            "claims.t + string(claims.n)",
            "claims.t + claims.n",
            "[string(claims.n)].join('-')",
            "[claims.n].join('-')",
            "[claims.n].map(x, string(x))[0]",
            "[claims.n, 1].filter(x, string(x) != '')[0]",
            "string(claims.n) == '' || claims.gone",
            "claims.t == 'x' ? string(claims.n) : 'y'",
            "{claims.n: 'a'}.map(k, string(k))[0]",
            "{'a': string(claims.n)}['a']",
            "string(bytes(claims.n))",
        ] {
            assert!(evaluate(text, &claims).is_err(), "{number}, {text}: {:?}", evaluate(text, &claims));
        }
        let message = evaluate("'u' + string(claims.n)", &claims).unwrap_err().to_string();
        assert!(message.starts_with("a number that is not a 64-bit integer cannot become text"), "{message}");
        for compared in [
            "claims.n > -1e30",
            "claims.n == claims.n",
            "claims.n != 1",
            "claims.n - 1.0 < 1e30",
            "double(claims.n) < 1e30",
        ] {
            assert_eq!(truth(compared, &claims), Ok(Some(true)), "{number}, {compared}");
        }
    }
    assert!(evaluate("string(1.5)", &json!({})).is_err());
    for integer in
        ["18446744073709551615", "9223372036854775807", "-9223372036854775808", "9007199254740993", "0"]
    {
        let claims = serde_json::from_str(&format!("{{\"n\":{integer}}}")).unwrap();
        assert_eq!(text("string(claims.n)", &claims), integer);
    }
    let claims = json!({ "n": 7, "t": "7" });
    assert_eq!(text("string(int(claims.t)) + string(uint(claims.n)) + string(true)", &claims), "77true");
}
