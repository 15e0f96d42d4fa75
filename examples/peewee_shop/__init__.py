"""The shop's checkout on Peewee: stock is reserved, the card is charged, the order is confirmed, each exactly once."""
