//! Chain specifications as an operator's editor, or somebody who hands one out, may leave them.

use crate::common::spec;
use oceanid_fuzz::{Run, json};
use oceanid_primitives::ChainSpec;

#[test]
fn fuzz_chain_specifications() {
    let good = serde_json::to_value(&*spec()).unwrap();
    let mut run = Run::start("chain specifications");
    let others = [good["timing"].clone(), good["committee"].clone(), good["alloc"].clone()];
    let mut accepted = 0;
    while run.goes_on() {
        let mut document = good.clone();
        json::mutate(&mut run.random, &mut document, &others);
        let text = document.to_string();
        accepted += run.input(
            || text.clone(),
            || {
                let Ok(spec) = serde_json::from_str::<ChainSpec>(&text) else { return 0 };
                let again = serde_json::to_string(&spec).unwrap();
                assert_eq!(serde_json::from_str::<ChainSpec>(&again).unwrap(), spec, "one meaning");
                u32::from(spec.validate().is_ok())
            },
        );
    }
    assert!(accepted > 0, "every mutant was refused: nothing behind the parser was seen");
    run.end();
}
