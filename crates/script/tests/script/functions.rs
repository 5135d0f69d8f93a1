//! `btoa`, `atob`, `cyclr_sign`, CSV and XML. Vectors are those of the standards that they follow.

use proptest::prelude::*;
use serde_json::json;
use velodrome_script::{ScriptHost, ScriptLimits, Vars};
use velodrome_types::Json;

use crate::support::{call, error_of, error_on, responding, workers};

/// What `expression` gives, with `method_response` as its input.
fn value(expression: &str, input: Json) -> Json {
    let code = format!("fn run() {{ method_response = {expression}; }}");
    let finished = call(&code, "run", responding(input));
    assert!(
        finished.result.is_ok(),
        "{expression}\n{:?}",
        finished.result
    );
    finished.vars.method_response
}

/// Fails as a script's mistake, with all of `parts` in the message.
fn refused(expression: &str, parts: &[&str]) {
    let error = error_of(&format!("fn run() {{ {expression} }}"));
    assert_eq!(error.code.as_str(), "script.failed", "{error:?}");
    for part in parts {
        assert!(error.message.contains(part), "{expression}\n{error:?}");
    }
}

#[test]
fn base64_of_a_text_in_each_charset() {
    let check = |text: &str, charset: &str, expect: &str| {
        let input = json!({"text": text, "charset": charset, "base64": expect});
        let encoded = "btoa(method_response.text, method_response.charset)";
        assert_eq!(value(encoded, input.clone()), json!(expect), "{charset}");
        let decoded = "atob(method_response.base64, method_response.charset)";
        assert_eq!(value(decoded, input), json!(text), "{charset}");
    };
    // RFC 4648 §10.
    for (text, expect) in [
        ("", ""),
        ("f", "Zg=="),
        ("fo", "Zm8="),
        ("foo", "Zm9v"),
        ("foob", "Zm9vYg=="),
        ("fooba", "Zm9vYmE="),
        ("foobar", "Zm9vYmFy"),
    ] {
        for charset in ["ASCII", "iso-8859-1", "UTF-8", "utf-7"] {
            check(text, charset, expect);
        }
        assert_eq!(value("btoa(method_response)", json!(text)), json!(expect));
        assert_eq!(value("atob(method_response)", json!(expect)), json!(text));
    }
    // A€𝄞, as `iconv` writes it in each of them.
    check("A€𝄞", "UTF-8", "QeKCrPCdhJ4=");
    check("A€𝄞", "UTF-16", "QQCsIDTYHt0=");
    check("A€𝄞", "utf-16le", "QQCsIDTYHt0=");
    check("A€𝄞", "UTF-16BE", "AEEgrNg03R4=");
    check("A€𝄞", "UTF-32", "QQAAAKwgAAAe0QEA");
    check("A€𝄞", "UTF-32LE", "QQAAAKwgAAAe0QEA");
    check("A€𝄞", "UTF-32BE", "AAAAQQAAIKwAAdEe");
    check("£é", "ISO-8859-1", "o+k=");
}

#[test]
fn utf7_is_that_of_rfc_2152() {
    // The examples of RFC 2152, as text and as the UTF-7 that stands there.
    for (text, utf7) in [
        ("A\u{2262}\u{391}.", "A+ImIDkQ."),
        ("Hi Mom -\u{263a}-!", "Hi Mom -+Jjo--!"),
        ("\u{65e5}\u{672c}\u{8a9e}", "+ZeVnLIqe-"),
        ("Item 3 is \u{a3}1.", "Item 3 is +AKM-1."),
        ("1 + 1 = 2", "1 +- 1 = 2"),
    ] {
        let encoded = value("atob(btoa(method_response, \"UTF-7\"))", json!(text));
        assert_eq!(encoded, json!(utf7));
        let decoded = value("atob(btoa(method_response), \"UTF-7\")", json!(utf7));
        assert_eq!(decoded, json!(text));
    }
    for bad in ["+Jj", "+Jjp-", "+2AA-", "+!", "é", "+"] {
        refused(
            &format!("atob(btoa(\"{bad}\"), \"UTF-7\")"),
            &["`atob`", "no UTF-7 text"],
        );
    }
}

#[test]
fn a_mark_tells_the_order_of_utf_16_and_32() {
    let check = |base64: &str, charset: &str, expect: &str| {
        let expression = format!("atob(\"{base64}\", \"{charset}\")");
        assert_eq!(value(&expression, Json::Null), json!(expect), "{charset}");
    };
    check("//5BAA==", "UTF-16", "A");
    check("/v8AQQ==", "UTF-16", "A");
    check("AAD+/wAAAEE=", "UTF-32", "A");
    check("//4AAEEAAAA=", "UTF-32", "A");
    check("/v8AQQ==", "UTF-16BE", "\u{feff}A");
}

#[test]
fn what_a_charset_cannot_hold_is_said() {
    refused("btoa(\"a€\", \"ASCII\")", &["`btoa`", "`€`", "use UTF-8"]);
    refused("btoa(\"€\", \"ISO-8859-1\")", &["ISO-8859-1 has no `€`"]);
    refused("btoa(\"a\", \"EBCDIC\")", &["`EBCDIC`", "UTF-16LE"]);
    refused("btoa(\"a\", 7)", &["`charset` must be a text", "a number"]);
    refused("btoa(())", &["`btoa`", "`text`", "nothing"]);
    refused("atob(#{})", &["`base64` must be a text", "an object"]);
    refused("atob(\"gICA\", \"ASCII\")", &["no ASCII text"]);
    refused("atob(\"gICA\")", &["no UTF-8 text"]);
    refused("atob(\"QQ==\", \"UTF-16\")", &["no UTF-16 text"]);
    refused("atob(\"ANg=\", \"UTF-16\")", &["no UTF-16 text"]);
    refused("atob(\"AADYAA==\", \"UTF-32\")", &["no UTF-32 text"]);
    refused("atob(\"QUJD*\")", &["no base64"]);
    assert_eq!(value("btoa(12.5)", Json::Null), json!("MTIuNQ=="));
    assert_eq!(value("atob(\" QU\\nI \")", Json::Null), json!("AB"));
}

#[test]
fn hmac_is_that_of_rfc_2202_and_rfc_4231() {
    let check = |algorithm: &str, key: &str, text: &str, expect: &str| {
        let input = json!({"algorithm": algorithm, "key": key, "text": text});
        let expression = "cyclr_sign(method_response.algorithm, method_response.key, \
                          method_response.text, \"hex\")";
        let got = value(expression, input);
        assert!(
            got.as_str().is_some_and(|hex| hex.starts_with(expect)),
            "{algorithm} {got}"
        );
    };
    let eleven = "\u{b}".repeat(20);
    let twelve = "\u{c}".repeat(20);
    let question = "what do ya want for nothing?";
    let cut = "Test With Truncation";
    check(
        "HMAC-SHA1",
        &eleven,
        "Hi There",
        "b617318655057264e28bc0b6fb378c8ef146be00",
    );
    check(
        "HMAC-SHA1",
        "Jefe",
        question,
        "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79",
    );
    check(
        "HMAC-SHA1",
        &twelve,
        cut,
        "4c1a03424b55e07fe7f27be1d58bb9324a9a5a04",
    );
    check(
        "HMAC-SHA256",
        &eleven,
        "Hi There",
        "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
    );
    check(
        "HMAC-SHA256",
        "Jefe",
        question,
        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
    );
    check(
        "HMAC-SHA256",
        &twelve,
        cut,
        "a3b6167473100ee06e0c796c2955552b",
    );
    check(
        "HMAC-SHA512",
        &eleven,
        "Hi There",
        "87aa7cdea5ef619d4ff0b4241a1d6cb02379f4e2ce4ec2787ad0b30545e17cdedaa833b7d6b8a702038b274eaea3f4e4\
         be9d914eeb61f1702e696c203a126854",
    );
    check(
        "hmac-sha512",
        "Jefe",
        question,
        "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65f8f0e6fd\
         caeab1a34d4a6b4b636e070a38bce737",
    );
    check(
        "HMAC-SHA512",
        &twelve,
        cut,
        "415fad6271580a531d4179bc891d87a6",
    );
}

#[test]
fn a_signature_comes_as_base64_or_as_asked() {
    let check = |encoding: &str, expect: &str| {
        let code = format!(
            "cyclr_sign(\"HMAC-SHA1\", \"Jefe\", \"what do ya want for nothing?\"{encoding})"
        );
        assert_eq!(value(&code, Json::Null), json!(expect));
    };
    check("", "7/zfauXrL6LSdBbV8YTfnCWafHk=");
    check(", ()", "7/zfauXrL6LSdBbV8YTfnCWafHk=");
    check(", \"base64\"", "7/zfauXrL6LSdBbV8YTfnCWafHk=");
    check(", \"base64url\"", "7_zfauXrL6LSdBbV8YTfnCWafHk");
    check(", \"hex\"", "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79");
}

/// The 2,048-bit groups of Wycheproof's `rsa_pkcs1_2048_sig_gen_test.json` (Apache-2.0), those messages
/// that are text; `openssl dgst -sign` gives the same.
const RSA: &str = include_str!("data/rsa_pkcs1_2048.json");

fn pem(label: &str, base64: &str, width: usize, newline: &str) -> String {
    let lines: Vec<String> = base64
        .as_bytes()
        .chunks(width)
        .map(|line| String::from_utf8_lossy(line).into_owned())
        .collect();
    let inner = lines.join(newline);
    format!("-----BEGIN {label}-----{newline}{inner}{newline}-----END {label}-----{newline}")
}

#[test]
fn rsa_is_that_of_wycheproof() {
    let groups: Vec<Json> = serde_json::from_str(RSA).unwrap();
    assert_eq!(groups.len(), 5);
    let expression = "cyclr_sign(method_response.algorithm, method_response.key, \
                      method_response.text, \"hex\")";
    for group in groups {
        let text = |name: &str| group[name].as_str().unwrap();
        let tests = group["tests"].as_array().unwrap();
        assert!(tests.len() > 4);
        let keys = [
            pem("PRIVATE KEY", text("pkcs8"), 64, "\n"),
            pem("RSA PRIVATE KEY", text("pkcs1"), 64, "\n"),
            pem("PRIVATE KEY", text("pkcs8"), 76, "\r\n"),
            pem("PRIVATE KEY", text("pkcs8"), 64, "\\n"),
            pem("RSA PRIVATE KEY", text("pkcs1"), 5_000, " "),
        ];
        // Every message with some key, every key with some message.
        for (at, test) in tests.iter().enumerate() {
            let key = &keys[at % keys.len()];
            let input =
                json!({"algorithm": text("algorithm"), "key": key, "text": test["message"]});
            let got = value(expression, input);
            assert_eq!(got, test["signature"], "{} {key:.40}", text("algorithm"));
        }
    }
}

#[test]
fn what_cannot_sign_is_said_without_the_key() {
    let key = "-----BEGIN PRIVATE KEY-----\\nc2VjcmV0\\n-----END PRIVATE KEY-----";
    let error = error_of(&format!(
        "fn run() {{ cyclr_sign(\"RSA-SHA256\", `{key}`, \"x\") }}"
    ));
    assert_eq!(error.code.as_str(), "script.failed");
    assert!(error.message.contains("cannot be read"), "{error:?}");
    assert!(!error.message.contains("c2VjcmV0"), "{error:?}");
    refused(
        "cyclr_sign(\"RSA-SHA256\", \"-----BEGIN ENCRYPTED PRIVATE KEY-----\", \"x\")",
        &["encrypted"],
    );
    refused(
        "cyclr_sign(\"RSA-SHA256\", \"secret\", \"x\")",
        &["no RSA private key", "PKCS #8"],
    );
    refused(
        "cyclr_sign(\"MD5\", \"k\", \"x\")",
        &["`MD5`", "HMAC-SHA256"],
    );
    refused(
        "cyclr_sign(\"HMAC-SHA1\", (), \"x\")",
        &["`key`", "nothing"],
    );
    refused(
        "cyclr_sign(\"HMAC-SHA1\", \"k\", #{})",
        &["`value`", "an object"],
    );
    refused(
        "cyclr_sign(\"HMAC-SHA1\", \"k\", \"x\", \"binary\")",
        &["`encoding`"],
    );
    // 512 bits, made by `openssl genrsa 512`.
    const SHORT: &str = "MIIBVAIBADANBgkqhkiG9w0BAQEFAASCAT4wggE6AgEAAkEAmG4BesL6TlQULnzEMrUBkWSqHTLoHjCkOCLFVbYdaRVdqBMCs8ztW7DfD/WW2gZI7TNQat+K32lVgrLyzcZZBQIDAQABAkBCXRqNzRfXRGno928gOIgvOemKfuBqTHki65iIwZo6ZmPxBn5izEf3TfDd7QNnDHuZCRMbA+NO5WY/DUo4uPHBAiEAyMj9Cc7Oq7MSPc+MfQ72pyCv8koGEGCCFPlvdWRoMFUCIQDCWNwbkaVKpLe22TucA2OD2rygS+gSugp1C6+OVTJ18QIhALjzs2ribqvo4we+9KmKLBidWpW0LEvPqmPJtSsM15CVAiA3LyYoyd1maYkk6WAMt8WdHhIrbgJStvLbM1tBDh4K8QIga6d4n/NbyPwccVB74PhJ8zEZKuYCpFBfdEQYg7zJpeU=";
    let input = json!(pem("PRIVATE KEY", SHORT, 64, "\n"));
    let code = "fn run() { cyclr_sign(\"RSA-SHA256\", method_response, \"x\") }";
    let error = call(code, "run", responding(input)).result.unwrap_err();
    assert!(error.message.contains("1024 to 4096 bits"), "{error:?}");
}

#[test]
fn csv_is_that_of_rfc_4180() {
    let check = |csv: &str, args: &str, expect: Json| {
        let expression = format!("cyclr_csv_parse(method_response{args})");
        assert_eq!(value(&expression, json!(csv)), expect, "{csv:?} {args}");
    };
    let plain = json!([["aaa", "bbb", "ccc"], ["zzz", "yyy", "xxx"]]);
    // The examples of RFC 4180 §2, in its order.
    check("aaa,bbb,ccc\r\nzzz,yyy,xxx\r\n", "", plain.clone());
    check("aaa,bbb,ccc\r\nzzz,yyy,xxx", "", plain.clone());
    check(
        "field_name,field_name2,field_name3\r\naaa,bbb,ccc\r\nzzz,yyy,xxx\r\n",
        ", \",\", true",
        json!([
            {"field_name": "aaa", "field_name2": "bbb", "field_name3": "ccc"},
            {"field_name": "zzz", "field_name2": "yyy", "field_name3": "xxx"}
        ]),
    );
    check(
        "aaa,bbb,ccc",
        ", \",\", false",
        json!([["aaa", "bbb", "ccc"]]),
    );
    check("\"aaa\",\"bbb\",\"ccc\"\r\nzzz,yyy,xxx", "", plain);
    check(
        "\"aaa\",\"b\r\nbb\",\"ccc\"\r\nzzz,yyy,xxx",
        "",
        json!([["aaa", "b\r\nbb", "ccc"], ["zzz", "yyy", "xxx"]]),
    );
    check(
        "\"aaa\",\"b\"\"bb\",\"ccc\"",
        "",
        json!([["aaa", "b\"bb", "ccc"]]),
    );
    // Spaces belong to the value; a mark of UTF-8 and empty lines do not.
    check(
        "\u{feff}a; b\n\n;\n",
        ", \";\"",
        json!([["a", " b"], ["", ""]]),
    );
    check(
        "a\tb\n1\t2",
        ", \"\\t\", true",
        json!([{"a": "1", "b": "2"}]),
    );
    check("a,b\n1\n", ", \",\", true", json!([{"a": "1"}]));
    check(
        "a,a,a_2,a\n1,2,3,4",
        ", (), true",
        json!([{"a": "1", "a_3": "2", "a_2": "3", "a_4": "4"}]),
    );
    check("", ", \",\", true", json!([]));
    check("a,b", ", \",\", true", json!([]));
    check("", "", json!([]));
    check("\r\n\r\n", "", json!([]));
    check("a\r", "", json!([["a"]]));
    check("…", "", json!([["…"]]));
    check("\"…\"\n", "", json!([["…"]]));
    check("1.5", ", \".\"", json!([["1", "5"]]));
}

#[test]
fn what_is_no_csv_is_said() {
    refused(
        "cyclr_csv_parse(\"a,b\\n1,2\\n1,2,3\", \",\", true)",
        &["`cyclr_csv_parse`", "line 3", "3 values", "has 2"],
    );
    // A download that broke off inside quotes is not taken for a short list.
    for cut in [
        "a,b\\n1,\\\"2\\n3,4\\n",
        "a,b\\n1,\\\"2",
        "a\\n\\\"",
        "a\\n\\\"b\\\"\\\"",
    ] {
        for header in ["false", "true"] {
            let expression = format!("cyclr_csv_parse(\"{cut}\", \",\", {header})");
            refused(&expression, &["line 2", "nothing closes"]);
        }
    }
    refused("cyclr_csv_parse(\"a\", \"||\")", &["`||`", "delimiter"]);
    refused("cyclr_csv_parse(\"a\", \"€\")", &["delimiter"]);
    refused("cyclr_csv_parse(\"a\", \"\")", &["delimiter"]);
    refused(
        "cyclr_csv_parse(\"a\", \",\", \"yes\")",
        &["`hasHeader`", "a text"],
    );
    refused("cyclr_csv_parse([])", &["`csv`", "a list"]);
}

#[test]
fn xml_becomes_what_json_net_makes_of_it() {
    let check = |xml: &str, expect: Json| {
        let got = value("cyclr_xml_deserialize(method_response)", json!(xml));
        assert_eq!(got, expect, "{xml}");
    };
    check("<a/>", json!({"a": null}));
    check("<a></a>", json!({"a": ""}));
    check("<a>text</a>", json!({"a": "text"}));
    check("<a n='1'/>", json!({"a": {"@n": "1"}}));
    check(
        "<a n=\"1\">text</a>",
        json!({"a": {"@n": "1", "#text": "text"}}),
    );
    check(
        "<order id=\"7\">\n  <item>pen</item>\n  <note/>\n  <item>ink</item>\n</order>",
        json!({"order": {"@id": "7", "item": ["pen", "ink"], "note": null}}),
    );
    check(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<a><!-- none --><b>1</b><?go on?></a>\n",
        json!({"?xml": {"@version": "1.0", "@encoding": "utf-8"}, "a": {"b": "1"}}),
    );
    check(
        "<a>one<b/>two</a>",
        json!({"a": {"#text": ["one", "two"], "b": null}}),
    );
    check(
        "<a><![CDATA[1 < 2]]></a>",
        json!({"a": {"#cdata-section": "1 < 2"}}),
    );
    check(
        "<a>&lt;&#65;&#x42;&amp;&quot;&apos;&gt;</a>",
        json!({"a": "<AB&\"'>"}),
    );
    check("<a> x\r\ny </a>", json!({"a": " x\ny "}));
    check("<a> <b> </b> </a>", json!({"a": {"b": ""}}));
    check("<a>&#32;</a>", json!({"a": " "}));
    check(
        "<s:e xmlns:s=\"http://example.test/s\"><s:b>1</s:b></s:e>",
        json!({"s:e": {"@xmlns:s": "http://example.test/s", "s:b": "1"}}),
    );
    check("\u{feff}<ü/>", json!({"ü": null}));
}

#[test]
fn json_becomes_xml() {
    let check = |input: Json, expect: &str| {
        let got = value("cyclr_xml_serialize(method_response)", input.clone());
        assert_eq!(got, json!(expect), "{input}");
    };
    check(json!({"a": null}), "<a/>");
    check(json!({"a": ""}), "<a></a>");
    check(json!({"a": {}}), "<a/>");
    check(json!({"a": 1.5}), "<a>1.5</a>");
    check(json!({"a": true}), "<a>true</a>");
    check(
        json!({"a": {"b": [1, null, {"@c": "d"}]}}),
        "<a><b>1</b><b/><b c=\"d\"/></a>",
    );
    check(json!({"a": {"#text": "x", "@b": 1}}), "<a b=\"1\">x</a>");
    check(
        json!({"?xml": {"@version": "1.0", "@encoding": "UTF-8"}, "a": "b"}),
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><a>b</a>",
    );
    check(
        json!({"a": "1 < 2 && \"3\" > 2"}),
        "<a>1 &lt; 2 &amp;&amp; \"3\" &gt; 2</a>",
    );
    check(
        json!({"a": {"@b": "<\"'&\n\r\t>"}}),
        "<a b=\"&lt;&quot;'&amp;&#10;&#13;&#9;&gt;\"/>",
    );
    check(
        json!({"a": {"#cdata-section": "x ]]> y"}}),
        "<a><![CDATA[x ]]]]><![CDATA[> y]]></a>",
    );
    check(json!({"a": {"b": []}}), "<a></a>");
}

#[test]
fn what_has_no_place_in_xml_is_said() {
    let check = |value: &str, parts: &[&str]| {
        refused(&format!("cyclr_xml_serialize({value})"), parts);
    };
    check("#{}", &["`cyclr_xml_serialize`", "one root element"]);
    check("#{a: 1, b: 2}", &["one root element"]);
    check("[1]", &["an object with one field", "a list"]);
    check("()", &["nothing"]);
    check("#{a: [1]}", &["root element `a`", "list"]);
    check("#{a: #{b: [[1]]}}", &["`b`", "list within a list"]);
    check("#{\"a b\": 1}", &["`a b`", "name of an element"]);
    check("#{\"a><b\": 1}", &["name of an element"]);
    check("#{\"1a\": 1}", &["`1a`"]);
    check("#{a: #{\"@b c\": 1}}", &["name of an attribute"]);
    check("#{a: #{\"@b\": #{}}}", &["`b`", "an object"]);
    check("#{a: #{\"#text\": #{}}}", &["`#text`", "an object"]);
    check("#{a: \"\\x00\"}", &["cannot hold the character"]);
    check("#{a: #{\"#cdata-section\": \"\\x07\"}}", &["cannot hold"]);
    check("#{\"?xml\": 1, a: 1}", &["`?xml`", "`@version`"]);
    check("#{\"?php\": 1}", &["`?php`"]);
}

#[test]
fn what_is_no_xml_is_said() {
    let check = |xml: &str, parts: &[&str]| {
        let code = "fn run() { cyclr_xml_deserialize(method_response) }";
        let finished = call(code, "run", responding(json!(xml)));
        let error = finished.result.unwrap_err();
        assert_eq!(error.code.as_str(), "script.failed", "{xml}");
        for part in parts {
            assert!(error.message.contains(part), "{xml}\n{error:?}");
        }
    };
    check("", &["no element"]);
    check("   ", &["no element"]);
    check("text", &["outside the root"]);
    check("<a>", &["`a` has no end"]);
    check("<a></b>", &["no XML"]);
    check("</a>", &["no XML"]);
    check("<a/><b/>", &["more than one root"]);
    check("<a/>x", &["outside the root"]);
    check("<a/>&#65;", &["outside the root"]);
    check("<a b='1' b='2'/>", &["twice"]);
    check("<a b/>", &["no XML"]);
    check("<a b=1/>", &["no XML"]);
    check("<a b='<'/>", &["attribute"]);
    check("<1a/>", &["no proper name"]);
    check("<a>&b;</a>", &["entity"]);
    check("<a b='&c;'/>", &["no XML"]);
    check("<a>&#0;</a>", &["no XML"]);
    check("<a>&#1;</a>", &["does not allow"]);
    check("<a>\u{1}</a>", &["does not allow"]);
    check("<a>a & b</a>", &["no XML"]);
    check(" <?xml version='1.0'?><a/>", &["declaration"]);
    check("<![CDATA[x]]><a/>", &["CDATA"]);
    check(
        "<!DOCTYPE a [<!ENTITY x SYSTEM \"file:///etc/passwd\">]><a>&x;</a>",
        &["DOCTYPE", "take it out"],
    );
}

/// A value as XML gives it back: a text, null, or an object of attributes, text and elements.
fn element() -> impl Strategy<Value = Json> {
    let text = || {
        let allowed = prop_oneof![
            Just("\t"),
            Just("\n"),
            Just("\r"),
            Just(" "),
            Just("<&>\"']]>"),
            Just("é𝄞\u{fffd}"),
            Just("x"),
        ];
        proptest::collection::vec(allowed, 0..5).prop_map(|parts| parts.concat())
    };
    let leaf = prop_oneof![Just(Json::Null), text().prop_map(Json::String)];
    leaf.prop_recursive(4, 24, 4, move |inner| {
        let attributes = proptest::collection::btree_map("@[a-d][.0-9é-]{0,2}", text(), 0..3);
        let child = prop_oneof![
            3 => inner.clone(),
            1 => proptest::collection::vec(inner, 2..4).prop_map(Json::Array),
        ];
        let children = proptest::collection::btree_map("[e-h_][:a-z]{0,2}", child, 0..4);
        (attributes, children, text()).prop_map(|(attributes, children, text)| {
            let mut fields = velodrome_types::JsonMap::new();
            fields.extend(
                attributes
                    .into_iter()
                    .map(|(name, text)| (name, Json::from(text))),
            );
            // An element with text alone is that text.
            if !text.is_empty() && !fields.is_empty() {
                fields.insert("#text".to_owned(), Json::String(text));
            }
            fields.extend(children);
            match fields.is_empty() {
                true => Json::Null,
                false => Json::Object(fields),
            }
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn xml_comes_back_as_it_went(root in element()) {
        let input = json!({"root": root});
        let got = value("cyclr_xml_deserialize(cyclr_xml_serialize(method_response))", input.clone());
        prop_assert_eq!(got, input);
    }

    #[test]
    fn base64_comes_back_as_it_went(text in any::<String>()) {
        for charset in ["UTF-7", "UTF-8", "UTF-16LE", "UTF-16BE", "UTF-32LE", "UTF-32BE"] {
            let expression = format!("atob(btoa(method_response, \"{charset}\"), \"{charset}\")");
            prop_assert_eq!(value(&expression, json!(text)), json!(text));
        }
    }

    #[test]
    fn nothing_makes_them_panic(text in any::<String>(), other in "[-+A-Za-z0-9<>/&;!?\\[\\]\"',=\n ]{0,40}") {
        for text in [text, other] {
            let code = "fn run() {
                for name in [\"ASCII\", \"UTF-7\", \"UTF-8\", \"UTF-16\", \"UTF-32\"] {
                    try { atob(method_response, name) } catch { }
                    try { atob(btoa(method_response), name) } catch { }
                }
                try { cyclr_csv_parse(method_response, \",\", true) } catch { }
                try { cyclr_xml_deserialize(method_response) } catch { }
                try { cyclr_sign(\"RSA-SHA1\", method_response, \"x\") } catch { }
            }";
            let finished = call(code, "run", responding(json!(text)));
            prop_assert!(finished.result.is_ok(), "{:?}", finished.result);
        }
    }
}

#[test]
fn they_keep_within_the_limits_of_values() {
    let limits = ScriptLimits {
        text: 1_000,
        list: 20,
        ..ScriptLimits::default()
    };
    let host = ScriptHost::new(limits, workers());
    for (name, body) in [
        ("base64", "let t = \"x\"; t.pad(900, 'x'); btoa(t)"),
        (
            "wide units",
            "let t = \"x\"; t.pad(300, 'x'); btoa(t, \"UTF-32\")",
        ),
        (
            "rows",
            "let t = \"1\\n\"; t.pad(60, \"1\\n\"); cyclr_csv_parse(t)",
        ),
        (
            "elements",
            "let t = \"<a>\"; t.pad(103, \"<b/>\"); cyclr_xml_deserialize(t + \"</a>\")",
        ),
        (
            "markup",
            "let l = [1]; l.pad(15, 1); let n = \"n\"; n.pad(90, 'n'); let m = #{}; m[n] = l; cyclr_xml_serialize(#{a: m})",
        ),
    ] {
        let error = error_on(&host, &format!("fn run() {{ {body} }}"));
        assert_eq!(error.code.as_str(), "script.memory", "{name}: {error:?}");
    }
}

#[test]
fn a_fault_of_theirs_can_be_caught() {
    let code =
        "fn run() { try { atob(\"?\") } catch (e) { method_response = [e.code, e.message]; } }";
    let finished = call(code, "run", Vars::default());
    assert!(finished.result.is_ok(), "{:?}", finished.result);
    assert_eq!(finished.vars.method_response[0], "script.failed");
    let message = finished.vars.method_response[1].as_str().unwrap();
    assert!(message.starts_with("`atob`: no base64"), "{message}");
}
