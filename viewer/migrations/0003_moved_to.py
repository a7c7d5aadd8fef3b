from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('viewer', '0002_status_map'),
    ]

    operations = [
        migrations.AddField(
            model_name='userenrolments',
            name='moved_to',
            field=models.CharField(help_text='context id that the progress was moved to', max_length=256, null=True),
        ),
    ]
