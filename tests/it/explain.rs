//! `rankpool explain`: what it prints, and its exit codes.

use crate::cli::Call;
use crate::util::rankpool;

#[test]
fn a_url_is_printed_in_its_one_spelling() {
    for (line, expected) in [
        ("HTTP://Example.org:80/a/../%7eb?#c", "http://example.org/~b\n"),
        ("http://user:secret@h/", "http://h/\n"),
        ("../c --base https://h/a/b", "https://h/c\n"),
        ("http://h/?b&a&PHPSESSID=1 --sort-query", "http://h/?a&b\n"),
        ("http://h/?PHPSESSID=1 --keep-query", "http://h/?PHPSESSID=1\n"),
        ("http://h/?utm_x=1&id=2&r=3 --drop-query @tracking --drop-query r", "http://h/?id=2\n"),
    ] {
        assert_eq!(Call::new(&format!("explain url {line}")).prints(), expected, "{line}");
    }
}

#[test]
fn a_refused_url_says_why_and_ends_with_1() {
    for (line, expected) in [
        ("mailto:x@y", "refused: scheme: only http and https can be fetched"),
        ("x", "refused: invalid-url: it is no whole URL; write `https://…`"),
        ("http://h/1/2/3 --max-depth 2", "refused: too-deep: its path has more than 2 segments"),
        ("http://h/abc --max-length 9", "refused: too-long: it is longer than 9 bytes"),
        (
            "http://h/a/b/a/b/a/b",
            "refused: trap-repeats: segments of its path repeat, as in a loop of links",
        ),
    ] {
        let (ran, _) = rankpool().line(&format!("explain url {line}")).run();
        ran.code(1);
        assert_eq!((ran.stdout, ran.stderr), (format!("{expected}\n"), String::new()), "{line}");
    }
}

#[test]
fn links_are_printed_one_a_line() {
    let html = "<base href=/d/><a href='a&amp;b#c'>one\n two</a><img src=i><a rel=ugc href=//o/>";
    let call = |line: &str| Call::new(line).file("page.html", html);
    let line = "explain links page.html --base http://h/x/y";
    assert_eq!(call(line).prints(), "http://h/d/a&b\nhttp://o/\n");
    assert_eq!(
        call(&format!("{line} --resources --long")).prints(),
        "http://h/d/a&b\tanchor\tfollow\tone two\nhttp://h/d/i\tresource\tfollow\t\n\
         http://o/\tanchor\tnofollow\t\n"
    );
    // From standard input, which is empty here; and in another charset.
    assert_eq!(Call::new("explain links - --base http://h/").prints(), "");
    let latin = Call::new("explain links page.html --base http://h/")
        .file("page.html", b"<meta charset=latin1><a href=\xe4>");
    assert_eq!(latin.prints(), "http://h/%C3%A4\n");
}

#[test]
fn what_cannot_be_explained_ends_with_2() {
    Call::new("explain links page.html --base http://h/")
        .refuses("cannot read `page.html`: No such file or directory (os error 2)");
    Call::new("explain links - --base h")
        .refuses("`--base h`: relative URL without a base; write `https://…`");
    Call::new("explain url x --base mailto:x")
        .refuses("`--base mailto:x`: nothing is relative to such a URL");
    Call::new("explain url x --drop-query @sessions")
        .refuses("there is no set of parameters `@sessions`; there are `@session`, `@tracking`");
}
