use super::*;

fn around(reach: Reach, seeds: &[&str], include: &[&str], exclude: &[&str]) -> Scope {
    let list = |list: &[&str]| list.iter().map(|&text| text.to_owned()).collect();
    let options = Options { scope: reach, include: list(include), exclude: list(exclude) };
    let seeds: Vec<Url> = seeds.iter().map(|seed| Url::parse(seed).unwrap()).collect();
    Scope::new(&options, &seeds).unwrap()
}

#[track_caller]
fn check(scope: &Scope, inside: &[&str], outside: &[&str], code: &str) {
    let decide = |text: &str| scope.decide(&Url::parse(text).unwrap()).map_err(OutOfScope::code);
    for text in inside {
        assert_eq!(decide(text), Ok(()), "{text}");
    }
    for text in outside {
        assert_eq!(decide(text), Err(code), "{text}");
    }
}

#[test]
fn a_page_is_itself() {
    let scope = around(Reach::Page, &["http://h/a", "http://h/b?c"], &[], &[]);
    check(
        &scope,
        &["http://h/a", "http://h/b?c"],
        &["http://h/", "http://h/b", "https://h/a", "http://h/a/"],
        "scope-page",
    );
}

#[test]
fn a_path_is_what_is_below_a_folder() {
    let scope = around(Reach::Path, &["http://h/docs/a.html", "http://i/x/y/"], &[], &[]);
    check(
        &scope,
        &["http://h/docs/", "http://h/docs/b/c?d", "https://h/docs/a.html", "http://i/x/y/z"],
        &["http://h/", "http://h/docs", "http://h/docsx/", "http://i/docs/", "http://i/x/"],
        "scope-path",
    );
    let top = around(Reach::Path, &["http://h/docs"], &[], &[]);
    check(&top, &["http://h/", "http://h/x/y"], &["http://i/"], "scope-path");
}

#[test]
fn a_host_is_its_name_and_port() {
    let scope = around(Reach::Host, &["http://www.h.org/a", "http://h:8080/"], &[], &[]);
    check(
        &scope,
        &["http://www.h.org/", "https://www.h.org/x", "https://h:8080/y"],
        &["http://h.org/", "http://h/", "http://www.h.org:81/", "http://xwww.h.org/"],
        "scope-host",
    );
}

#[test]
fn a_domain_is_registered() {
    let seeds = ["http://www.example.co.uk/", "http://me.github.io/", "http://127.0.0.1:8000/"];
    let scope = around(Reach::Domain, &seeds, &[], &[]);
    check(
        &scope,
        &[
            "http://example.co.uk/",
            "https://a.b.example.co.uk:81/",
            "http://x.me.github.io/",
            "http://127.0.0.1:8000/x",
        ],
        &[
            "http://other.co.uk/",
            "http://co.uk/",
            "http://you.github.io/",
            "http://github.io/",
            "http://127.0.0.1:8001/",
            "http://1.0.0.1/",
        ],
        "scope-domain",
    );
    let others = around(
        Reach::Domain,
        &["http://localhost/", "http://食狮.公司.cn/", "http://com/"],
        &[],
        &[],
    );
    check(
        &others,
        &["http://localhost/x", "http://www.xn--85x722f.xn--55qx5d.cn/", "http://com/x"],
        &["http://xn--xyz.xn--55qx5d.cn/", "http://a.com/", "http://x.localhost/"],
        "scope-domain",
    );
}

#[test]
fn registrable_domains_come_from_the_public_suffix_list() {
    for (host, expected) in [
        ("a.b.example.com", Some("example.com")),
        ("example.com", Some("example.com")),
        ("com", None),
        ("b.c.kobe.jp", Some("b.c.kobe.jp")),
        ("a.city.kobe.jp", Some("city.kobe.jp")),
        ("www.ck", Some("www.ck")),
        ("a.b.ck", Some("a.b.ck")),
        ("printer.lan", Some("printer.lan")),
        ("localhost", None),
        ("127.0.0.1", None),
        ("[::1]", None),
        ("www.xn--85x722f.xn--55qx5d.cn", Some("食狮.公司.cn")),
    ] {
        let url = Url::parse(&format!("http://{host}/")).unwrap();
        assert_eq!(registrable_domain(&url).as_deref(), expected, "{host}");
    }
}

#[test]
fn any_is_everywhere() {
    check(&around(Reach::Any, &[], &[], &[]), &["http://h/", "https://i/"], &[], "");
}

#[test]
fn patterns_narrow_the_reach_whatever_their_order() {
    let include = ["/docs/", r"\.html$"];
    let exclude = ["/private/", r"\?print="];
    let narrow = around(Reach::Host, &["http://h/"], &include, &exclude);
    check(&narrow, &["http://h/docs/a", "http://h/a.html"], &["http://i/docs/"], "scope-host");
    check(&narrow, &[], &["http://h/", "http://h/a.html?b"], "not-included");
    check(&narrow, &[], &["http://h/docs/private/", "http://h/docs/?print=1"], "excluded");
    let url = Url::parse("http://h/docs/?print=1").unwrap();
    assert_eq!(narrow.decide(&url), Err(OutOfScope::Excluded(1)));
    assert!(OutOfScope::Excluded(1).to_string().contains("pattern 2 of `exclude`"));
}

#[test]
fn a_seed_can_be_added() {
    let mut scope = around(Reach::Host, &["http://example.org/"], &[], &[]);
    let www = Url::parse("https://www.example.org/").unwrap();
    assert_eq!(scope.decide(&www), Err(OutOfScope::Reach(Reach::Host)));
    scope.add(&www);
    assert_eq!(scope.decide(&www), Ok(()));
}

#[test]
fn a_wrong_pattern_is_named() {
    let options = Options { exclude: vec!["a".into(), "(".into()], ..Options::default() };
    let error = format!("{:#}", Scope::new(&options, []).unwrap_err());
    assert!(error.starts_with("`exclude`, pattern 2: "), "{error}");
    let json = r#"{"scope":"domain","include":[],"exclude":["a","("]}"#;
    let read: Options = serde_json::from_str(json).unwrap();
    assert_eq!(read, Options { scope: Reach::Domain, ..options });
    assert_eq!(serde_json::to_string(&read).unwrap(), json);
}
