//! Runbooks: good ones become plans, broken ones are told everything that is wrong with them.

use std::path::{Path, PathBuf};

use gonogo::runbook::{self, Options};

fn runbooks(kind: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/runbooks").join(kind)
}

#[test]
fn good_runbooks_become_plans() {
    let options = Options::default();
    for name in ["minimal.yaml", "everything.yaml"] {
        let loaded = runbook::load(&runbooks("good").join(name), &options);
        let loaded = loaded.unwrap_or_else(|errors| panic!("{}", errors.render(false, 100)));
        insta::assert_snapshot!(name, format!("{:#?}\n{}", loaded.plan, loaded.diagnostics(name)));
    }
}
