from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('viewer', '0001_learner_tables'),
    ]

    operations = [
        migrations.CreateModel(
            name='StatusMapState',
            fields=[
                ('id', models.SmallIntegerField(primary_key=True, serialize=False)),
                ('phase', models.CharField(help_text='off, opening or on', max_length=16)),
                ('epoch', models.IntegerField(help_text='part of every key; grows when the map is opened')),
                ('servers', models.JSONField(help_text='identities of the Redis processes that hold it: run id, replication id')),
                ('changed_at', models.DateTimeField()),
            ],
            options={
                'db_table': 'status_map',
            },
        ),
    ]
