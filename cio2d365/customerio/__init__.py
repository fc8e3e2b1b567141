"""The source: what the App API and the export files of a Customer.io workspace give."""
