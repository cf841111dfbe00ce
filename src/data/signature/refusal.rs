//! Why a signature does not count, in cursive's words where it has some.

/// What a client is told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It could not even be tried.
    #[error("Signature verification for the image failed: {0}.")]
    Untried(#[from] Reason),
    /// The certificate's id is none. barbicanclient's words.
    #[error("Secret incorrectly specified.")]
    NoId,
    /// The certificate is not good enough.
    #[error(transparent)]
    Distrusted(#[from] Distrust),
    /// The key has not signed these bytes.
    #[error("Signature verification failed")]
    Wrong,
}

/// Why a signature could not be tried.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// A property is there without a value.
    #[error(
        "Required image properties for signature verification do not exist. Cannot verify \
         signature. Missing property: {0}"
    )]
    Missing(&'static str),
    /// No base64.
    #[error("The signature data was not properly encoded using base64")]
    Encoding,
    /// No digest that signatures are made of.
    #[error("Invalid signature hash method: {0}")]
    HashMethod(String),
    /// No kind of key that signs images.
    #[error("Invalid signature key type: {0}")]
    KeyType(String),
    /// The key manager has no such certificate.
    #[error("Certificate not found with ID: {0}")]
    NotFound(String),
    /// The key manager does not give it.
    #[error("Unable to retrieve certificate with ID: {0}")]
    Unavailable(String),
    /// The key manager gives something else.
    #[error("Invalid certificate format: {0}")]
    Format(&'static str),
    /// It cannot be read, or its key cannot. Glance's words are Python's.
    #[error("The certificate cannot be read")]
    Undecodable,
    /// The certificate's key is of another kind.
    #[error("Invalid public key type for signature key type: {0}")]
    OtherKey(&'static str),
    /// A signature of no bytes.
    #[error("Error occurred while creating the verifier")]
    Empty,
}

/// What is wrong with a certificate that can be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Distrust {
    /// Not yet, or not any more.
    #[error("The certificate is outside its valid date range.")]
    Date,
    /// Its key may not sign.
    #[error("The certificate's key usage does not allow digital signatures.")]
    KeyUsage,
    /// No trusted certificate vouches for it. OpenSSL's reason.
    #[error(
        "Certificate chain building failed. No chain of trusted certificates leads to the base \
         certificate: {0}."
    )]
    Chain(String),
}
