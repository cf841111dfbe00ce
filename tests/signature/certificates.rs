//! Which certificates count.

use fresnel::data::signature::{Certificate, Distrust};
use openssl::x509::extension::KeyUsage;

use crate::support::signing::{Author, Says, authority};

fn certificate(author: &Author) -> Certificate {
    let pem = Certificate::parse(&author.certificate_pem()).unwrap();
    let der = Certificate::parse(&author.certificate.to_der().unwrap()).unwrap();
    assert_eq!(pem.to_pem(), der.to_pem());
    pem
}

#[test]
fn a_certificate_is_good_for_its_time_and_its_use() {
    let check = |says| certificate(&Author::who_says(says)).check();
    assert_eq!(check(Says::default()), Ok(()));
    let silent = Says {
        usage: None,
        ..Says::default()
    };
    assert_eq!(check(silent), Ok(()));
    let over = Says {
        is_over: true,
        ..Says::default()
    };
    assert_eq!(check(over), Err(Distrust::Date));
    let mut usage = KeyUsage::new();
    usage.key_encipherment();
    let other = Says {
        usage: Some(usage),
        ..Says::default()
    };
    assert_eq!(check(other), Err(Distrust::KeyUsage));
}

#[test]
fn a_chain_leads_to_whom_the_operator_trusts() {
    let root = Author::who_says(authority());
    let middle = Author::who_says(Says {
        by: Some(&root),
        ..authority()
    });
    let by = |by| Says {
        by: Some(by),
        ..Says::default()
    };
    let signed = certificate(&Author::who_says(by(&middle)));
    let whole = [certificate(&middle), certificate(&root)];
    assert_eq!(signed.check_chain(&whole), Ok(()));
    let stranger = certificate(&Author::who_says(authority()));
    for trusted in [&whole[..1], &whole[1..], &[stranger], &[]] {
        let refused = signed.check_chain(trusted);
        assert!(matches!(refused, Err(Distrust::Chain(_))), "{refused:?}");
    }
}

#[test]
fn who_is_no_authority_vouches_for_nobody() {
    let user = Author::who_says(Says::default());
    let signed = Author::who_says(Says {
        by: Some(&user),
        ..Says::default()
    });
    let refused = certificate(&signed).check_chain(&[certificate(&user)]);
    assert!(matches!(refused, Err(Distrust::Chain(_))), "{refused:?}");
}

#[test]
fn what_is_no_certificate_is_none() {
    let pem = Author::who_says(Says::default()).certificate_pem();
    for bytes in [&b""[..], b"certificate", &pem[..pem.len() / 2], &pem[..20]] {
        assert!(Certificate::parse(bytes).is_none());
    }
}
