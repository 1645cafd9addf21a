//! Files with certificates of authorities: whom TLS believes beside those that the machine knows.

use std::path::Path;

use rustls::pki_types::{CertificateDer, pem::PemObject as _};

/// The certificates in a PEM file, at least one. `Err` names the file and what is wrong with it.
pub fn read_certificates(path: &Path) -> Result<Vec<Vec<u8>>, String> {
    let wrong = |why: String| format!("{}: {why}", path.display());
    let certificates = CertificateDer::pem_file_iter(path).map_err(|error| wrong(error.to_string()))?;
    let certificates: Vec<_> =
        certificates.collect::<Result<_, _>>().map_err(|error| wrong(error.to_string()))?;
    if certificates.is_empty() {
        return Err(wrong("holds no certificate; wanted PEM".into()));
    }
    Ok(certificates.into_iter().map(|it| it.to_vec()).collect())
}
