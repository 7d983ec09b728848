"""The Prefect server: started, reached, waited for."""
