"""What can go wrong, as one small tree.

Every message is one line for the user: what was wrong, what was found, what to do. The
core knows nothing of exit codes or HTTP; the edges map these classes once.

    KappamaskError
      ProductError              the input product
        MissingBandError
        CorruptDataError
        UnsafeArchiveError
      LevelMismatchError        product level against model level
      AoiError
      ModelError
        ModelNotFoundError
        ChecksumError
      DeviceError
      DownloadError
      MissingExtraError
      OutputError
        OutputExistsError
      StoreError                collections, items and their files
        NotInStoreError
        InvalidQueryError
        InvalidDocumentError
        ClaimLostError
        StorageError
      SourceError               a collection of products
"""


class KappamaskError(Exception):
    """Something the user can understand and mend; the message says how."""


class ProductError(KappamaskError):
    """The input is not a readable Sentinel-2 product."""


class MissingBandError(ProductError):
    """A band that the model needs is not in the product."""


class CorruptDataError(ProductError):
    """A file of the product is there but its contents cannot be read."""


class UnsafeArchiveError(ProductError):
    """An archive would write outside its folder or expand without bound."""


class LevelMismatchError(KappamaskError):
    """The product's processing level is not the one the model was trained on."""


class AoiError(KappamaskError):
    """The area of interest cannot be read or does not meet the product."""


class ModelError(KappamaskError):
    """A model, or its description, cannot be used."""


class ModelNotFoundError(ModelError):
    """No model of that name is registered."""


class ChecksumError(ModelError):
    """A model file is not the one that its description names."""


class DeviceError(KappamaskError):
    """The device that was asked for is not there."""


class DownloadError(KappamaskError):
    """A file cannot be fetched."""


class MissingExtraError(KappamaskError):
    """An optional part of the installation is needed and not there."""


class OutputError(KappamaskError):
    """The result cannot be written."""


class OutputExistsError(OutputError):
    """There is a result already and overwriting was not asked for."""


class StoreError(KappamaskError):
    """The store of collections and items cannot do what was asked."""


class NotInStoreError(StoreError):
    """There is no such collection or item, or it is not for this caller."""


class InvalidQueryError(StoreError):
    """A search cannot be understood."""


class InvalidDocumentError(StoreError):
    """A document cannot be kept as a collection or item."""


class ClaimLostError(StoreError):
    """Somebody else makes this mask by now."""


class StorageError(StoreError):
    """A file of a published mask cannot be written, read or removed."""


class SourceError(KappamaskError):
    """A collection of products cannot be searched."""
